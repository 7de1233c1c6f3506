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
    counts = torch.bincount(training[training != PAD], minlength=vocabulary).double() + 1.0
    scores = (counts / counts.sum()).log().float().expand(*public.shape, -1)
    found = token_metrics(scores, public)
    return {name: float(values.mean()) for name, values in found.items()}


def _mean(each: Tensor, targets: Tensor) -> Tensor:
    real = (targets != PAD).to(each.dtype)
    # Guarantee: by the example's own length, so that no other example changes its loss.
    return (each * real).sum(1) / real.sum(1).clamp(min=1.0)
