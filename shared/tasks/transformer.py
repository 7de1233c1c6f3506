"""Small Transformers whose every trainable number has a gradient for each example.

Attention is made of linear layers that both Opacus and book-keeping know, each used once or twice
in one pass; positions and masks are computed in `forward`, so that there is no buffer. Queries,
keys and values have no biases: that of a key moves all scores of a row alike, which softmax does
not see, so it would never be trained.

Source: Vaswani et al. 2017 (arXiv:1706.03762); normalisation before each part as in Xiong et al.
2020 (arXiv:2002.04745).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shared.errors import ConfigurationError

PAD = 0  # nothing attends to it, and no loss is taken of it
_LONGEST_WAVE = 10_000.0  # of positions, in tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Of a Transformer.

    Attributes:
        width: Numbers for each token; even, and a multiple of `heads`.
        heads: Of each attention.
        layers: Of the decoder, and of the encoder where there is one.
    """

    width: int = 32
    heads: int = 4
    layers: int = 2

    def __post_init__(self) -> None:
        """Refuse a width that cannot be shared out."""
        if self.width % 2 or self.width % self.heads:
            raise ConfigurationError(
                f"width must be even and a multiple of {self.heads} heads, got {self.width}"
            )


class Attention(nn.Module):
    """Each place of `inputs` gets a mean of places of `memory`, weighted by what fits.

    Args:
        size: Width and heads.
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        width = size.width
        self._heads = size.heads
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.out = nn.Linear(width, width)

    def forward(self, inputs: Tensor, memory: Tensor, allowed: Tensor) -> Tensor:
        """Shape (n, T, width).

        Args:
            inputs: Shape (n, T, width).
            memory: Shape (n, S, width).
            allowed: Which places of memory each place may see: booleans that broadcast to
                (n, heads, T, S); at least one in each row.
        """
        q, k, v = self.query(inputs), self.key(memory), self.value(memory)
        q, k, v = (t.unflatten(2, (self._heads, -1)).transpose(1, 2) for t in (q, k, v))
        scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
        # Guarantee: -inf leaves exactly nothing of what a place may not see.
        weights = scores.masked_fill(~allowed, -math.inf).softmax(3)
        mixed: Tensor = self.out((weights @ v).transpose(1, 2).flatten(2))
        return mixed


class Block(nn.Module):
    """Attention to itself, attention to another sequence if it is asked for, and a dense part.

    Args:
        size: Width and heads.
        crosses: Whether it looks at another sequence.
    """

    def __init__(self, size: Size, *, crosses: bool = False) -> None:
        super().__init__()
        width = size.width
        self.norm = nn.LayerNorm(width)
        self.attention = Attention(size)
        if crosses:
            self.cross_norm = nn.LayerNorm(width)
            self.cross = Attention(size)
        self.dense_norm = nn.LayerNorm(width)
        self.dense = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(
        self, inputs: Tensor, allowed: Tensor, other: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Shape (n, T, width), as `inputs`.

        Args:
            inputs: Shape (n, T, width).
            allowed: What each place of it may see of it, as in `Attention`.
            other: Memory of another sequence, and what may be seen of that.
        """
        normal = self.norm(inputs)
        x = inputs + self.attention(normal, normal, allowed)
        if other is not None:
            x = x + self.cross(self.cross_norm(x), *other)
        summed: Tensor = x + self.dense(self.dense_norm(x))
        return summed


class DecoderOnly(nn.Module):
    """Scores of the next token at each place, from that place and those before it alone.

    Args:
        vocabulary: Number of tokens, `PAD` included.
        size: Width, heads, layers.
    """

    def __init__(self, vocabulary: int, size: Size) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, size.width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)
        self.out = nn.Linear(size.width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """Shape (n, T, vocabulary) of tokens of shape (n, T), int64; padding, if any, is last."""
        x = embedded(self.tokens, tokens)
        allowed = no_later(tokens)
        for block in self.blocks:
            x = block(x, allowed)
        scores: Tensor = self.out(self.norm(x))
        return scores


class EncoderDecoder(nn.Module):
    """Scores of the next token of a target, from all of a source and the target so far.

    Args:
        vocabulary: Number of tokens of either, `PAD` included.
        size: Width, heads, layers.
    """

    def __init__(self, vocabulary: int, size: Size) -> None:
        super().__init__()
        self.source_tokens = nn.Embedding(vocabulary, size.width)
        self.target_tokens = nn.Embedding(vocabulary, size.width)
        self.encoder = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.source_norm = nn.LayerNorm(size.width)
        self.decoder = nn.ModuleList(Block(size, crosses=True) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)
        self.out = nn.Linear(size.width, vocabulary)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Shape (n, T, vocabulary).

        Args:
            source: Shape (n, S), int64, `PAD` at the end of short ones; the first is never `PAD`.
            target: Shape (n, T), likewise.
        """
        seen = (source != PAD)[:, None, None, :]
        memory = embedded(self.source_tokens, source)
        for block in self.encoder:
            memory = block(memory, seen)
        memory = self.source_norm(memory)
        x, allowed = embedded(self.target_tokens, target), no_later(target)
        for block in self.decoder:
            x = block(x, allowed, (memory, seen))
        scores: Tensor = self.out(self.norm(x))
        return scores


def embedded(table: nn.Embedding, tokens: Tensor) -> Tensor:
    """Each token's row of `table`, plus sines and cosines of its place: shape (n, T, width)."""
    x: Tensor = table(tokens)
    half = x.shape[2] // 2
    places = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
    powers = torch.arange(half, device=x.device, dtype=x.dtype) / half
    angles = places[:, None] * _LONGEST_WAVE**-powers
    return x + torch.cat([angles.sin(), angles.cos()], dim=1)


def no_later(tokens: Tensor) -> Tensor:
    """Each place sees itself and what comes before it: booleans, shape (T, T)."""
    places = torch.arange(tokens.shape[1], device=tokens.device)
    return places[:, None] >= places[None, :]
