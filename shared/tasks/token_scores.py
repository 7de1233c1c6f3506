"""Losses and scores of sequences of tokens: means over one example's tokens, padding left out."""

import math
import unicodedata
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from shared.tasks.transformer import PAD

_SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥"}


def token_losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy of each example's tokens, shape (n,); 0 for one of padding alone.

    Args:
        outputs: Scores, shape (n, T, vocabulary).
        targets: Shape (n, T), int64; `PAD` counts for nothing.
    """
    each = nn.functional.cross_entropy(
        outputs.flatten(0, 1), targets.flatten(), ignore_index=PAD, reduction="none"
    )
    return _mean(each.view_as(targets), targets)


def token_metrics(outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
    """Share of each example's tokens with the highest score, and bits for a token: shape (n,)."""
    right = (outputs.argmax(2) == targets).to(outputs.dtype)
    bits = token_losses(outputs, targets) / math.log(2)
    return {"accuracy": _mean(right, targets), "bits_per_token": bits}


def shown(character: str) -> str:
    """`character` as a person sees it: blanks and accents stand for themselves by a sign.

    >>> shown("a"), shown(" "), shown(chr(10))
    ('a', '␣', '↵')
    """
    if character in _SIGNS:
        return _SIGNS[character]
    return f"◌{character}" if unicodedata.combining(character) else character


def unigram_baseline(training: Tensor, public: Tensor, vocabulary: int) -> Mapping[str, float]:
    """What knows how frequent each token is, and nothing else, scores on `public`.

    Args:
        training: Tokens, shape (n, T); each is counted once more than it occurs.
        public: Tokens, shape (m, T).
        vocabulary: Number of tokens.
    """
    scores = _frequencies(training, vocabulary).log().float().expand(*public.shape, -1)
    return _means(scores, public)


def bigram_baseline(
    training: tuple[Tensor, Tensor], public: tuple[Tensor, Tensor], vocabulary: int
) -> Mapping[str, float]:
    """What knows how frequent each token is after each other one, and nothing else, scores.

    Args:
        training: Tokens before, and the tokens that followed: both of shape (n, T). Each pair is
            counted once more, shared out among the followers by how frequent they are.
        public: Likewise, shape (m, T).
        vocabulary: Number of tokens.
    """
    before, after = training
    real = after != PAD
    pairs = torch.bincount(before[real] * vocabulary + after[real], minlength=vocabulary**2)
    counts = pairs.view(vocabulary, vocabulary).double() + _frequencies(after, vocabulary)
    scores = (counts / counts.sum(1, keepdim=True)).log().float()[public[0]]
    return _means(scores, public[1])


def _frequencies(tokens: Tensor, vocabulary: int) -> Tensor:
    counts = torch.bincount(tokens[tokens != PAD], minlength=vocabulary).double() + 1.0
    return counts / counts.sum()


def _means(scores: Tensor, public: Tensor) -> Mapping[str, float]:
    found = token_metrics(scores, public)
    return {name: float(values.mean()) for name, values in found.items()}


def _mean(each: Tensor, targets: Tensor) -> Tensor:
    real = (targets != PAD).to(each.dtype)
    # Guarantee: by the example's own length, so that no other example changes its loss.
    return (each * real).sum(1) / real.sum(1).clamp(min=1.0)
