"""A hook at the noisy sums, for audits in a simulation; nothing installs one in deployment.

A witness may add known contributions to a sum before its noise, and sees what the noise made of
them. Contributions are bounded by the clip like everybody's: ±C at a coordinate of its own. Where
clients share the noise of a sum, it adds to what each of them gives, is told of that, and sees the
sum once it is unmasked.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which sum of a run: `client_id` is "" and `step` 0 for a round's sum at the server."""

    client_id: str
    round_number: int
    step: int
    attempt: int = 1


@dataclass(frozen=True, slots=True)
class Contribution:
    """What to add: `values`, in units of the clipping norm, at the distinct `indices`; both (m,).

    The witness sees the sum at all of `indices`, also where it adds nothing.
    """

    indices: NDArray[np.int64]
    values: NDArray[np.float64]


class Witness(Protocol):
    """Takes part in the noisy sums of a run."""

    def contribution(self, place: Place, dimension: int) -> Contribution | None:
        """What to add to the sum of length `dimension`; None: nothing, and nothing is seen."""

    def saw(self, place: Place, others: NDArray[np.float64], noisy: NDArray[np.float64]) -> None:
        """The sum without the contribution and noise, and the released one, at `indices`.

        Both in units of the clipping norm, shape (m,). Whoever attacks differential privacy may
        know everybody else's contribution.
        """


@runtime_checkable
class SumWitness(Witness, Protocol):
    """Takes part in sums whose noise is shared; no other witness does."""

    def told(self, place: Place, others: NDArray[np.float64]) -> None:
        """What one client gives to a sum with shared noise, shape (d,), before that and rounding.

        In units of the bound on one unit, and without the contribution.
        """

    def saw_sum(
        self,
        place: Place,
        clients: Collection[str],
        noisy: NDArray[np.float64],
        noise_multiplier: float,
    ) -> None:
        """The sum of what `clients` gave and all their shares of the noise, shape (d,).

        In units of the bound on one unit; so is the standard deviation, `noise_multiplier`.
        """


_installed: list[Witness] = []


def installed() -> Witness | None:
    """The witness of this process; None in deployment."""
    return _installed[-1] if _installed else None


@contextmanager
def watched_by(witness: Witness) -> Iterator[None]:
    """Within it, `witness` takes part in every noisy sum of this process."""
    _installed.append(witness)
    try:
        yield
    finally:
        _installed.pop()
