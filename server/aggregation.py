"""The sum of a round's updates, noised where the plan says so, divided by a public constant.

Updates are added in the order of the clients' names, whatever order they arrive in, so that the
sum is the same, bit for bit, over every transport. Each is added as soon as all before it have
arrived or are given up; only those that came early are kept.
"""

import numpy as np
from numpy.typing import NDArray

from shared.dp.clipping import clip
from shared.dp.mechanisms import ClientPrivacy
from shared.dp.noise import gaussian_noise
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import RandomStream
from shared.dp.witness import Place, installed
from shared.errors import ProtocolError
from shared.messages import TrainReply
from shared.parameters import FlatVector

Vector = NDArray[np.float64]


class RoundSum:
    """Sum of the updates of one round's cohort.

    Args:
        plan: Clip, noise and divisor.
        dimension: Length d of every update.
        cohort_size: Number of clients asked.
        round_number: What a reply must answer.
        attempt: Likewise.
    """

    def __init__(
        self,
        plan: PrivacyPlan,
        dimension: int,
        *,
        cohort_size: int,
        round_number: int,
        attempt: int,
    ) -> None:
        self._plan = plan
        self._digest = plan.digest()
        self._expected = (round_number, attempt)
        self._sum: Vector = np.zeros(dimension)
        self._cohort_size = cohort_size
        self._early: dict[int, Vector] = {}
        self._given_up: set[int] = set()
        self._next = 0
        self.survivors = 0

    def add(self, position: int, reply: TrainReply) -> None:
        """Count the update of the client at `position` of the cohort.

        Raises:
            ProtocolError: it answers another round, attempt or plan, has another length, or is not
                finite where no clip would make it harmless; the client is to be given up.
        """
        update = self._checked(reply)
        self.survivors += 1
        self._early[position] = update
        self._fold()

    def give_up(self, position: int) -> None:
        """The client at `position` is lost for this round."""
        self._given_up.add(position)
        self._fold()

    def mean(self, noise: RandomStream) -> Vector:
        """(Σ updates + noise) / (q·N), shape (d,): everybody not heard of is left out.

        Args:
            noise: Used at client level alone.
        """
        for position in range(self._next, self._cohort_size):
            if position not in self._early:
                self._given_up.add(position)
        self._fold()
        total = self._sum
        if isinstance(self._plan.mechanism, ClientPrivacy):
            total = self._noisy(self._plan.mechanism, noise)
        # Guarantee: the divisor is a constant of the plan. The number of survivors is private: one
        # client more or less would change it, and with it the scale of the noise.
        return total / self._plan.denominator

    def _noisy(self, mechanism: ClientPrivacy, stream: RandomStream) -> Vector:
        """Sum + noise, with what the witness of a simulation adds and sees."""
        total = self._sum
        noise = gaussian_noise(len(total), mechanism.noise_stddev, stream=stream)
        place = Place(client_id="", round_number=self._expected[0], step=0)
        witness = installed()
        added = None if witness is None else witness.contribution(place, len(total))
        if witness is None or added is None:
            return total + noise
        norm, others = mechanism.clipping_norm, total[added.indices]
        noisy = total + noise
        noisy[added.indices] += norm * added.values
        witness.saw(place, others / norm, noisy[added.indices] / norm)
        return noisy

    def _fold(self) -> None:
        while self._next in self._early or self._next in self._given_up:
            update = self._early.pop(self._next, None)
            if update is not None:
                self._sum += update
            self._next += 1

    def _checked(self, reply: TrainReply) -> Vector:
        answered = (reply.round_number, reply.attempt)
        if answered != self._expected:
            raise ProtocolError(f"expected round and attempt {self._expected}, got {answered}")
        if reply.plan_digest != self._digest:
            raise ProtocolError(
                f"expected the plan {self._digest[:12]}, got {reply.plan_digest[:12]}"
            )
        update: FlatVector = reply.update
        if update.shape != self._sum.shape:
            raise ProtocolError(
                f"expected an update of shape {self._sum.shape}, got {update.shape}"
            )
        if isinstance(self._plan.mechanism, ClientPrivacy):
            # Guarantee: the sensitivity of the sum is C whatever a client sends.
            return clip(update, self._plan.mechanism.clipping_norm)
        if not np.isfinite(update).all():
            raise ProtocolError("expected a finite update, got NaN or infinity")
        return update.astype(np.float64)
