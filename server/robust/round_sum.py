"""A round's sum by a robust rule: every update is kept until the round is over.

What the rule gives stands for the mean of those who answered. It is not divided by the public
constant that a noisy sum is divided by: who stays silent must not be able to shrink the step.
"""

import numpy as np

from server.aggregation import RoundSum, Vector
from server.robust.choice import Robust
from server.robust.kept import Kept
from shared.dp.correlated import CorrelatedNoise
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import RandomStream
from shared.messages import TrainReply
from shared.parameters import FlatVector

_FAR = 3.0  # times the median distance from the result


class RobustSum(RoundSum):
    """`RoundSum` for a rule that needs all updates at once.

    Args:
        plan: Of the run.
        dimension: Length d of every update.
        robust: The rule.
        cohort_size: Number of clients asked.
        round_number: What a reply must answer.
        attempt: Likewise.
    """

    def __init__(
        self,
        plan: PrivacyPlan,
        dimension: int,
        robust: Robust,
        *,
        cohort_size: int,
        round_number: int,
        attempt: int,
    ) -> None:
        super().__init__(
            plan, dimension, cohort_size=cohort_size, round_number=round_number, attempt=attempt
        )
        self._robust = robust
        self._asked = cohort_size
        self._updates: dict[int, FlatVector] = {}
        self._combined: Vector = np.zeros(dimension)

    def add(self, position: int, reply: TrainReply) -> None:
        """Keep the update of the client at `position`; raises as `RoundSum.add` does."""
        self._updates[position] = self.checked(reply)
        self.survivors += 1

    def combine(self, barred: int = 0, refused: int = 0) -> tuple[int, ...]:
        """Form the round's mean; returns the positions of those far away from it.

        Far is three times as far as half of them, whatever the rule: a false update that lies among
        the honest ones is not found, and does little.

        Args:
            barred: How many more would have been asked, but are in quarantine.
            refused: How many of those asked sent what no honest client sends.

        Raises:
            TooFewSurvivors: fewer updates than the rule needs.
        """
        positions = sorted(self._updates)
        kept = Kept([self._updates[position] for position in positions])
        self._combined = self._robust.combine(kept, self._asked + barred, barred + refused)
        away = kept.distances_to(self._combined)
        return tuple(np.array(positions)[away > _FAR * np.median(away)].tolist())

    def mean(self, noise: RandomStream, correlated: CorrelatedNoise | None = None) -> Vector:
        """What `combine` found, shape (d,)."""
        del noise, correlated  # the sites' own noise is in the updates
        return self._combined
