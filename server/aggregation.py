"""The sum of a round's updates, noised where the plan says so, divided by a public constant.

Updates are added in the order of the clients' names, whatever order they arrive in, so that the
sum is the same, bit for bit, over every transport. Each is added as soon as all before it have
arrived or are given up; only those that came early are kept. The first two are added in whatever
order they come: a + b and b + a are the same number. Where they are large they are added together:
until then the first is half as wide as the sum would be, and what is added of it is let go.
"""

from itertools import islice

import numpy as np
from numpy.typing import NDArray

from shared.compression import unpack
from shared.dp.adaptive_clipping import ABOVE, BELOW, adapted
from shared.dp.clipping import add_clipped
from shared.dp.correlated import CorrelatedNoise
from shared.dp.mechanisms import CLIENT_LEVEL, ClientPrivacy, CorrelatedPrivacy
from shared.dp.noise import gaussian_noise
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import RandomStream
from shared.dp.witness import Place, installed
from shared.errors import PrivacyError, ProtocolError
from shared.memory_use import used_up
from shared.messages import TrainReply
from shared.parameters import FlatVector

Vector = NDArray[np.float64]
_NOISE_BLOCK = 1 << 16  # numbers at a time: the noise needs no memory of its own, stays in cache
_LARGE = 1 << 22  # numbers of an update
_LET_GO = 1 << 20  # numbers at a time


class RoundSum:
    """Sum of the updates of one round's cohort.

    Args:
        plan: Clip, noise and divisor.
        dimension: Length d of every update.
        cohort_size: Number of clients asked.
        round_number: What a reply must answer.
        attempt: Likewise.
        clipping_norm: At client level C of this round; None: the plan's.
    """

    def __init__(
        self,
        plan: PrivacyPlan,
        dimension: int,
        *,
        cohort_size: int,
        round_number: int,
        attempt: int,
        clipping_norm: float | None = None,
    ) -> None:
        self._plan = plan
        self._clipping_norm = plan.clipping_norm if clipping_norm is None else clipping_norm
        self._dimension = dimension
        self._counts = plan.adaptive
        self._digest = plan.digest()
        self._expected = (round_number, attempt)
        # With an adaptive clip the last number counts the updates that were not clipped.
        self._sum: Vector = np.zeros(dimension + self._counts)
        self._cohort_size = cohort_size
        self._early: dict[int, FlatVector] = {}
        self._given_up: set[int] = set()
        self._next = self._added = 0
        self._inflation = 0.0
        self.survivors = 0

    def add(self, position: int, reply: TrainReply) -> None:
        """Count the update of the client at `position` of the cohort.

        Raises:
            ProtocolError: it answers another round, attempt or plan, has another length, or is not
                finite where no clip would make it harmless; the client is to be given up.
        """
        self._early[position] = self.checked(reply)
        self.survivors += 1
        self._fold()

    def settle(self, total: Vector, survivors: int, *, inflation: float) -> None:
        """Take a sum that was formed under masks in place of updates.

        Args:
            total: Shape (d,), with the noise that its clients shared.
            survivors: How many clients it is of.
            inflation: By what share rounding made each client's part longer than the clip.
        """
        self._sum += total
        self._inflation = inflation
        self.survivors = survivors

    def give_up(self, position: int) -> None:
        """The client at `position` is lost for this round."""
        self._given_up.add(position)
        self._fold()

    def mean(self, noise: RandomStream, correlated: CorrelatedNoise | None = None) -> Vector:
        """(Σ updates + noise) / (q·N), shape (d,): everybody not heard of is left out.

        Once: the sum itself becomes it, so that no second one need fit into memory.

        Args:
            noise: Used at client level alone.
            correlated: The run's noise, where it is correlated over rounds.

        Raises:
            PrivacyError: the plan's noise is correlated, and none was given.
        """
        total, mechanism = self._total()[: self._dimension], self._plan.mechanism
        if isinstance(mechanism, ClientPrivacy) and not mechanism.distributed:
            # Guarantee: what was rounded under masks may be longer than C.
            norm = self._clipping_norm * (1.0 + self._inflation)
            self._add_noise(total, mechanism.noise_stddev(norm), noise)
        elif isinstance(mechanism, CorrelatedPrivacy):
            if correlated is None:
                raise PrivacyError("expected the run's correlated noise, got none")
            total += correlated.next(noise)
        # Guarantee: the divisor is a constant of the plan. The number of survivors is private: one
        # client more or less would change it, and with it the scale of the noise.
        total /= self._plan.denominator
        return total

    def next_clipping_norm(self, noise: RandomStream) -> float:
        """C of the next round: this one's, or moved by a noisy count of unclipped updates."""
        mechanism = self._plan.mechanism
        if not (isinstance(mechanism, ClientPrivacy) and mechanism.adaptive):
            return self._clipping_norm
        count = float(self._total()[-1])
        count += float(gaussian_noise(1, mechanism.count_noise_multiplier, stream=noise)[0])
        return adapted(
            self._clipping_norm,
            0.5 + count / self._plan.denominator,
            quantile=mechanism.clipping_quantile,
            learning_rate=mechanism.clipping_learning_rate,
        )

    def _total(self) -> Vector:
        for position in range(self._next, self._cohort_size):
            if position not in self._early:
                self._given_up.add(position)
        self._fold()
        return self._sum

    def _add_noise(self, total: Vector, stddev: float, stream: RandomStream) -> None:
        """Sum + noise, in place, with what the witness of a simulation adds and sees."""
        number, attempt = self._expected
        place = Place(client_id="", round_number=number, step=0, attempt=attempt)
        witness = installed()
        added = None if witness is None else witness.contribution(place, len(total))
        others = None if added is None else total[added.indices]
        for start in range(0, len(total), _NOISE_BLOCK):
            part = total[start : start + _NOISE_BLOCK]
            part += gaussian_noise(len(part), stddev, stream=stream)
        if witness is None or added is None or others is None:
            return
        norm = self._clipping_norm
        total[added.indices] += norm * added.values
        witness.saw(place, others / norm, total[added.indices] / norm)

    def _fold(self) -> None:
        if not self._added and not self._first_two():
            return
        while self._next in self._early or self._next in self._given_up:
            update = self._early.pop(self._next, None)
            if update is not None:
                self._count(update)
            self._next += 1

    def _first_two(self) -> bool:
        """Count what has come of them, the large together; whether no more is to be waited for."""
        left = (p for p in range(self._next, self._cohort_size) if p not in self._given_up)
        due = list(islice(left, 2))
        come = [place for place in due if place in self._early]
        if come and len(come) < len(due) and len(self._sum) >= _LARGE:
            return False
        # Guarantee: 0 + b + a is 0 + a + b, bit for bit, and 0 + b where a never comes.
        updates = [self._early.pop(place) for place in come]
        if updates:
            self._count(*updates)
        self._given_up.update(come)  # nothing more is expected of them
        return True

    def check(self, reply: TrainReply) -> None:
        """Raise ProtocolError unless `reply` is to this round, attempt and plan."""
        answered = (reply.round_number, reply.attempt)
        if answered != self._expected:
            raise ProtocolError(f"expected round and attempt {self._expected}, got {answered}")
        if reply.plan_digest != self._digest:
            raise ProtocolError(
                f"expected the plan {self._digest[:12]}, got {reply.plan_digest[:12]}"
            )

    def checked(self, reply: TrainReply) -> FlatVector:
        """The update as it came, if it may be counted. Raises ProtocolError as `add` does."""
        self.check(reply)
        update = self._read(reply)
        if reply.masked:
            raise ProtocolError("expected an update in clear alone, got bytes under masks too")
        if update.shape != self._sum.shape:
            raise ProtocolError(
                f"expected an update of shape {self._sum.shape}, got {update.shape}"
            )
        clipped = isinstance(self._plan.mechanism, CLIENT_LEVEL)
        if not (clipped or np.isfinite(update).all()):
            raise ProtocolError("expected a finite update, got NaN or infinity")
        return update

    def _read(self, reply: TrainReply) -> FlatVector:
        """The update in the one form that the plan says. Raises ProtocolError on another."""
        plan = self._plan.update
        if plan is None or not plan.compressed:
            if reply.packed:
                raise ProtocolError("expected an update that is not compressed, got one that is")
            return reply.update
        if len(reply.update):
            raise ProtocolError("expected an update compressed alone, got one in full too")
        return unpack(reply.packed, plan.compression, len(self._sum), plan.kept_share)

    def _count(self, *updates: FlatVector) -> None:
        self._added += len(updates)
        clipped = isinstance(self._plan.mechanism, CLIENT_LEVEL)
        if clipped and self._counts:
            for update in updates:
                self._sum[-1] += _bounded(update[-1])

        def used(end: int) -> None:
            if not end % _LET_GO:
                for update in updates:
                    used_up(update, end, end - _LET_GO)

        # Guarantee: the sensitivity of the sum is C whatever a client sends.
        norm = self._clipping_norm if clipped else None
        length = self._dimension if clipped else len(self._sum)
        add_clipped(self._sum[:length], [update[:length] for update in updates], norm, used)


def _bounded(indicator: float) -> float:
    """±½ or between; what is no number counts as clipped."""
    return float(np.clip(indicator, ABOVE, BELOW)) if np.isfinite(indicator) else ABOVE


def correlated_noise(plan: PrivacyPlan, dimension: int) -> CorrelatedNoise | None:
    """The noise of a run whose plan correlates it over rounds; None for any other."""
    mechanism = plan.mechanism
    return mechanism.noise(dimension) if isinstance(mechanism, CorrelatedPrivacy) else None
