"""What stands beside each claim: its profile, what it means for an attacker, its course."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from server.report.facts import percent_up
from shared.dp.claims import Claim, SpendingMeter
from shared.dp.events import Charge
from shared.dp.exposure import composed, exposures
from shared.dp.groups import group_epsilon
from shared.dp.mechanisms import NoPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.profile import PrivacyProfile

FALSE_POSITIVE_RATES = (1e-4, 1e-3, 1e-2, 0.1)
PRIORS = (1e-3, 1e-2, 0.1)
_POINTS = 40  # of the course over rounds
_CURVE = np.logspace(-5, 0, 41)
_GROUP = 2
_MEANINGFUL = 100.0  # beyond, every attack may succeed


class ClaimDetails:
    """Computed once for all observers to whom the same unit was exposed in the same way.

    Args:
        plan: The run's plan.
        charges: All that was released.
        claims: What holds after them.
    """

    def __init__(
        self, plan: PrivacyPlan, charges: Sequence[Charge], claims: Sequence[Claim]
    ) -> None:
        self._plan = plan
        self._charges = charges
        finite = [claim.epsilon for claim in claims if np.isfinite(claim.epsilon)]
        self._epsilon = max(finite, default=0.0)
        self._shared: dict[str, Any] = {}
        if self._epsilon > 0.0:
            self._shared["epsilon_by_round"] = self._course()
        if 0.0 < self._epsilon <= _MEANINGFUL:
            self._shared |= self._computed()

    def of(self, claim: Claim) -> dict[str, Any]:
        """Keys to add to `claim`; none where nothing is promised."""
        if not np.isfinite(claim.epsilon):
            return {}
        return self._shared | {"statement": claim.statement + self._in_attack_terms()}

    def _in_attack_terms(self) -> str:
        risk = self._shared.get("risk")
        if risk is None:
            return ""
        caught = dict(map(tuple, risk["tpr_at_fpr"]))[1e-3]
        sure = risk["posterior_from_prior_50"]
        return (
            f" In attack terms: at 0.1 % false alarms a membership attacker catches at most "
            f"{percent_up(caught)}; from a 50 % prior certainty rises to at most "
            f"{percent_up(sure)}, but for a probability delta."
        )

    def _computed(self) -> dict[str, Any]:
        worst = composed(self._worst())
        profile = PrivacyProfile(worst, self._epsilon, self._plan.mechanism.adjacency)
        shown = profile.true_positive_rates(np.array(FALSE_POSITIVE_RATES))
        curve = profile.true_positive_rates(_CURVE)
        priors = profile.true_positive_rates(np.array(PRIORS))
        details: dict[str, Any] = {
            "profile": profile.curve(),
            "rdp": profile.renyi(),
            "mu_gdp": profile.mu(),
            "mu_regret": None if profile.mu() is None else 0.0,
            "risk": {
                "tpr_at_fpr": _pairs(FALSE_POSITIVE_RATES, shown),
                "tpr_curve": _pairs(_CURVE, curve),
                "advantage": profile.advantage(),
                "posterior_from_prior_50": profile.posterior(),
                "reconstruction_bound": _pairs(PRIORS, priors),
            },
        }
        if (rho := profile.rho()) is not None:
            details["rho_zcdp"] = rho
        if isinstance(self._plan.mechanism, RecordPrivacy):
            epsilon = group_epsilon(worst, _GROUP, self._plan.delta)
            details["group"] = {"records": _GROUP, "epsilon": epsilon}
        return details

    def _worst(self) -> Any:
        found = exposures(self._plan, self._charges)
        return max(found, key=lambda exposure: sum(count for _, count in exposure))

    def _course(self) -> list[list[float]]:
        """(round, epsilon after it), never decreasing; the last is the claim's own."""
        if isinstance(self._plan.mechanism, NoPrivacy):
            return []
        meter, rounds = SpendingMeter(self._plan), sorted({c.round_number for c in self._charges})
        chosen = rounds[:: max(1, len(rounds) // _POINTS)]
        found = []
        for number in sorted({*chosen, rounds[-1]}):
            so_far = [charge for charge in self._charges if charge.round_number <= number]
            # A coarse number may lie a little above the final one, never the truth.
            epsilon = self._epsilon if number == rounds[-1] else meter.after(so_far)
            found.append([number, min(epsilon, self._epsilon)])
        return found


def _pairs(places: Any, values: Any) -> list[list[float]]:
    return [[float(place), float(value)] for place, value in zip(places, values, strict=True)]
