"""Ratings as examples, one for each user: half of them to find him by, half to test that by."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from shared.errors import ConfigurationError
from shared.task import Examples

HALF = 32  # ratings in each half, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Public ends of all ratings; what lies outside counts as the end.

    Attributes:
        low: Of the worst.
        high: Of the best.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse an empty range."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigurationError(f"low must be below high, got {(self.low, self.high)}")

    @property
    def unit(self) -> float:
        """What 1 of a scaled rating is."""
        return (self.high - self.low) / 2.0

    def scaled(self, rating: float) -> float:
        """In [-1, 1]."""
        within = min(max(rating, self.low), self.high)
        return (within - self.low) / self.unit - 1.0


Rating = tuple[str, str, float]  # user, item, rating


def by_user(ratings: Iterable[Rating], catalogue: Sequence[str], scale: Scale) -> Examples:
    """An example for each user, in ascending order of their names.

    inputs: support (n, HALF) int64, 0 for none; their ratings (n, HALF); query (n, HALF).
    targets: (n, HALF, 2): rating of each item of the query, and 1 where there is one.

    Which ratings are kept and in which half is a function of user and item alone: neither of other
    users nor of what was rated how. Of two ratings of one item the last counts.

    Args:
        ratings: In any order; items that are not in the catalogue are left out.
        catalogue: Public; its first item is number 1.
        scale: Public.
    """
    numbers = {item: number for number, item in enumerate(catalogue, start=1)}
    users: dict[str, dict[str, float]] = defaultdict(dict)
    for user, item, rating in ratings:
        mine = users[user]
        if item in numbers:
            mine[item] = rating
    names = sorted(users)
    items = np.zeros((len(names), HALF, 2), dtype=np.int64)
    values = np.zeros((len(names), HALF, 2), dtype=np.float32)
    for row, name in enumerate(names):
        for place, item in enumerate(_order(name, users[name])[: 2 * HALF]):
            items[row, place // 2, place % 2] = numbers[item]
            values[row, place // 2, place % 2] = scale.scaled(users[name][item])
    support, query = (torch.from_numpy(items[..., half].copy()) for half in (0, 1))
    known, wanted = (torch.from_numpy(values[..., half].copy()) for half in (0, 1))
    targets = torch.stack([wanted, (query > 0).float()], dim=2)
    return Examples((support, known, query), targets)


def _order(user: str, items: Mapping[str, float]) -> list[str]:
    return sorted(items, key=lambda item: hashlib.blake2b(f"{user}\0{item}".encode()).digest())


def baselines(training: Examples, public: Examples, scale: Scale) -> dict[str, float]:
    """What a model must beat: mean over public users of the root mean square error of two guesses.

    `item_mean`: the mean rating of the item over all training users, of which nobody is protected;
    the mean of all where it has none. `user_mean`: the mean of the user's own support.
    """
    items = torch.cat([training.inputs[0], training.inputs[2]], dim=1).reshape(-1)
    given = torch.cat([training.inputs[1], training.targets[..., 0]], dim=1).reshape(-1)
    present = items > 0
    count = int(max(items.max(), public.inputs[2].max())) + 1
    sums = torch.zeros(count).index_add(0, items[present], given[present])
    numbers = torch.zeros(count).index_add(0, items[present], torch.ones(int(present.sum())))
    overall = given[present].mean()
    means = torch.where(numbers > 0, sums / numbers.clamp(min=1.0), overall)
    support, known, query = public.inputs
    own = (known.sum(1) / (support > 0).sum(1).clamp(min=1)).unsqueeze(1).expand_as(known)
    guesses = {"item_mean": means[query], "user_mean": own}
    return {
        name: float(errors(guess, public.targets).sqrt().mean()) * scale.unit
        for name, guess in guesses.items()
    }


def errors(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean square error of each user, shape (n,); 0 for one without a query."""
    rating, present = targets[..., 0], targets[..., 1]
    squares = (outputs - rating).square() * present
    return squares.sum(1) / present.sum(1).clamp(min=1.0)
