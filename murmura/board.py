"""What is known of a run so far, gathered from its progress events; no output here."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from murmura.wording import OBSERVERS
from server.progress import Progress, RoundFinished, RunFinished, RunStarted

KEPT_ROUNDS = 12
_AVERAGED_ROUNDS = 5  # the time left follows a change of pace within so many rounds


class ClaimLike(Protocol):
    """What is shown of a planned claim."""

    @property
    def adversary(self) -> str:
        """Against whom it holds."""

    @property
    def adjacency(self) -> str:
        """The neighbouring relation."""

    @property
    def epsilon(self) -> float:
        """Bound on the privacy loss; may be infinite."""

    @property
    def delta(self) -> float:
        """Probability that the bound does not hold."""

    @property
    def unit(self) -> str:
        """Whose data the claim protects."""


class Board:
    """Gathers a run's events; whatever shows progress reads from here.

    Args:
        device: Where training runs, in words.
        clock: Seconds, monotonic; replaced in tests.
    """

    def __init__(self, device: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.device = device
        self.started: RunStarted | None = None
        self.finished: RunFinished | None = None
        self.last_rounds: deque[RoundFinished] = deque(maxlen=KEPT_ROUNDS)
        self.clients_lost = 0
        self._clock = clock
        self._round_began = clock()

    def take(self, event: Progress) -> None:
        """Remember `event`."""
        if isinstance(event, RunStarted):
            self.started = event
        elif isinstance(event, RoundFinished):
            self.last_rounds.append(event)
            self.clients_lost += event.lost
        else:
            self.finished = event
        self._round_began = self._clock()

    @property
    def rounds_done(self) -> int:
        """Rounds behind us, those before a resume included."""
        if self.last_rounds:
            return self.last_rounds[-1].round_number
        return self.started.first_round - 1 if self.started else 0

    @property
    def seconds_in_round(self) -> float:
        """How long the round in progress has taken."""
        return self._clock() - self._round_began

    @property
    def seconds_left(self) -> float | None:
        """From the mean of the last rounds; None before the first is done."""
        if not self.last_rounds or self.started is None:
            return None
        recent = list(self.last_rounds)[-_AVERAGED_ROUNDS:]
        mean = sum(event.seconds for event in recent) / len(recent)
        rest = mean * (self.started.rounds - self.rounds_done) - self.seconds_in_round
        return max(0.0, rest)


def worst_finite(claims: Iterable[ClaimLike]) -> ClaimLike | None:
    """The claim with the largest finite epsilon; None if nothing is bounded."""
    finite = [claim for claim in claims if math.isfinite(float(claim.epsilon))]
    return max(finite, key=lambda claim: float(claim.epsilon), default=None)


def trusts_the_server(claims: Iterable[ClaimLike]) -> bool:
    """Whether nothing bounds what the server itself may learn, not even of sums."""
    server = [float(c.epsilon) for c in claims if c.adversary.startswith("server")]
    return bool(server) and all(map(math.isinf, server))


def meaning_of(claims: Sequence[ClaimLike]) -> str:
    """What the worst finite epsilon of `claims` is an epsilon of; "" where nothing is bounded."""
    claim = worst_finite(claims)
    if claim is None:
        return ""
    finite = [c for c in claims if math.isfinite(float(c.epsilon))]
    if trusts_the_server(claims):
        against = "all but the server"
    elif len(finite) == len(claims):
        against = "every observer"
    else:
        against = "; ".join(OBSERVERS.get(c.adversary, c.adversary) for c in finite)
    return (
        f"at delta {claim.delta:g} for one {claim.unit}, {claim.adjacency.replace('_', ' ')}, "
        f"against {against}"
    )
