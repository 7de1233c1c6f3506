"""Which rule a run has, what it needs, and where it is refused.

At record level a rule costs no privacy: it sees updates that their sites noised, and whatever is
made of them is post-processing. At client level it is refused: the server's noise covers what one
clipped update can change in a *sum*, and nothing bounds what one can change in a median or in a
choice of updates. Under secure aggregation there is a sum alone, and nothing to choose from.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from server.robust.clipping import centred_clipping, norm_bound
from server.robust.columns import median, trimmed_mean
from server.robust.kept import Kept, Vector
from server.robust.krum import bulyan, krum, multi_krum
from shared.config import RunConfig
from shared.counting import counted
from shared.dp.mechanisms import CLIENT_LEVEL
from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError, ProtocolError, TooFewSurvivors
from shared.parameters import FlatVector

MEAN = "mean"
_ROUNDING = 1e-9
_PLAIN: dict[str, Callable[[Kept, int], Vector]] = {
    "median": median,
    "trimmed_mean": trimmed_mean,
    "krum": krum,
    "multi_krum": multi_krum,
    "bulyan": bulyan,
}
_BOUNDED: dict[str, Callable[[Kept, int, float], Vector]] = {
    "centred_clipping": centred_clipping,
    "norm_bound": norm_bound,
}
# Clients needed for f false ones: at least a·f + b.
_NEEDS = {"krum": (2, 3), "multi_krum": (2, 3), "bulyan": (4, 3)}
_A_MAJORITY = (2, 1)


@dataclass(frozen=True, slots=True)
class Robust:
    """What a run does about false updates.

    Attributes:
        rule: A name of `server.aggregation`.
        byzantine: How many clients may be false: a share of those asked below 1, else their number.
        norm_bound: L2 norm above which an update is refused; of `centred_clipping` and
            `norm_bound` the length to which they cut. 0: none, or the median of the round.
        strikes: Rejections after which a client is asked no more; 0: never.
    """

    rule: str
    byzantine: float
    norm_bound: float
    strikes: int

    def tolerated(self, asked: int) -> int:
        """Number f of clients among `asked` that may send anything."""
        if self.byzantine >= 1.0:
            return int(self.byzantine)
        return math.ceil(self.byzantine * asked - _ROUNDING)

    def needs(self, tolerated: int) -> int:
        """Number of updates without which the rule means nothing, if so many may be false."""
        if self.rule == MEAN:
            return 1
        times, more = _NEEDS.get(self.rule, _A_MAJORITY)
        return times * tolerated + more

    def check(self, update: FlatVector) -> None:
        """Raise ProtocolError at an update that is too long to be combined at all."""
        if self.norm_bound and self.rule not in _BOUNDED:
            length = float(np.linalg.norm(update.astype(np.float64)))
            if length > self.norm_bound:
                raise ProtocolError(
                    f"expected an update no longer than {self.norm_bound:g}, got {length:g}"
                )

    def combine(self, kept: Kept, asked: int, known: int = 0) -> Vector:
        """What the honest ones say, if at most f clients are not, shape (d,).

        Args:
            kept: Updates of those who answered.
            asked: How many were asked, or would have been but for a quarantine: f is of them.
            known: How many of these are known to be false, and are not in `kept`; where too few
                are left for f, they count as some of the f.

        Raises:
            TooFewSurvivors: fewer updates than the rule needs.
        """
        most = self.tolerated(asked)
        least = max(most - known, 0)
        fitting = (f for f in range(most, least - 1, -1) if self.needs(f) <= kept.count)
        if (tolerated := next(fitting, None)) is None:
            raise TooFewSurvivors(
                f"{self.rule} needs {counted(self.needs(least), 'update')} where {least} of "
                f"{asked} clients may be false, got {kept.count}"
            )
        if self.rule in _BOUNDED:
            return _BOUNDED[self.rule](kept, tolerated, self.norm_bound)
        return _PLAIN[self.rule](kept, tolerated)


def robust_of(config: RunConfig, plan: PrivacyPlan) -> Robust | None:
    """What `config` asks for; None for the plain mean of all.

    Raises:
        ConfigurationError: the plan's guarantee is one for sums, updates are under masks, or the
            cohort is too small for the rule.
    """
    server = config.server
    if server.aggregation == MEAN and not server.norm_bound:
        return None
    asked_for = (
        f"server.aggregation = {server.aggregation!r} with server.norm_bound = "
        f"{server.norm_bound:g}"
    )
    if plan.aggregation is not None:
        raise ConfigurationError(f"{asked_for} needs single updates; secure aggregation has none")
    if isinstance(plan.mechanism, CLIENT_LEVEL):
        raise ConfigurationError(
            f"{asked_for} cannot go with privacy.unit = 'client': the noise covers what one client "
            "changes in a sum, not in a choice of updates; there every update is clipped already"
        )
    robust = Robust(server.aggregation, server.byzantine, server.norm_bound, server.strikes)
    expected = round(plan.denominator)
    needed = robust.needs(robust.tolerated(expected))
    if expected < needed:
        raise ConfigurationError(
            f"{server.aggregation} needs at least {counted(needed, 'client')} in a round for "
            f"server.byzantine = {server.byzantine:g}, got {expected}"
        )
    return robust
