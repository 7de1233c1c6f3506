"""What stands beside each claim: its profile, what it means for an attacker, its course."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from server.report.digits import pairs_up, rounded_up
from server.report.facts import percent_up
from shared.dp.accounting import REPORT_INTERVAL
from shared.dp.claim import Claim
from shared.dp.claims import SpendingMeter
from shared.dp.clipping import Vector
from shared.dp.events import Charge
from shared.dp.exposure import composed, exposures
from shared.dp.groups import group_epsilon
from shared.dp.mechanisms import NoPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.profile import PrivacyProfile

FALSE_POSITIVE_RATES = (1e-4, 1e-3, 1e-2, 0.1)
PRIORS = (1e-3, 1e-2, 0.1)
_COURSE = 40  # points over rounds
_PROFILE = 41  # points of δ(ε), from 0 to half beyond the claim
_CURVE = np.array([rounded_up(float(rate)) for rate in np.logspace(-5, 0, 41)])
GROUPS = (2, 5, 10)
_MEANINGFUL = 100.0  # beyond, every attack may succeed
_CHECKED_DIGITS = 7


class ClaimDetails:
    """Computed once for all observers to whom the same unit was exposed in the same way.

    Where clients were exposed differently, every number is the largest of any of them.

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
        finite = [claim for claim in claims if np.isfinite(claim.epsilon)]
        self._epsilon = max((claim.epsilon for claim in finite), default=0.0)
        self._shared: dict[str, Any] = {}
        if self._epsilon > 0.0:
            self._shared["epsilon_by_round"] = self._course()
        if 0.0 < self._epsilon <= _MEANINGFUL:
            interval = finite[0].cross_check.get("interval", REPORT_INTERVAL)
            self._events = [composed(exposure) for exposure in exposures(plan, charges)]
            self._profiles = [
                PrivacyProfile(event, self._epsilon, plan.mechanism.adjacency, interval)
                for event in self._events
            ]
            self._shared |= self._computed()

    def of(self, claim: Claim) -> dict[str, Any]:
        """Keys to add to `claim`, or to replace; none where nothing is promised."""
        if not np.isfinite(claim.epsilon):
            return {}
        check = claim.to_json()["cross_check"]
        for name in {"pld", "rdp"} & check.keys():
            if check[name] != "inf":
                check[name] = rounded_up(check[name], _CHECKED_DIGITS)
        statement = claim.statement + self._in_attack_terms()
        return self._shared | {"cross_check": check, "statement": statement}

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
        epsilons = [round(float(e), 6) for e in np.linspace(0.0, 1.5 * self._epsilon, _PROFILE)]
        deltas = np.max([profile.delta_at(np.array(epsilons)) for profile in self._profiles], 0)
        mu = self._largest([profile.mu for profile in self._profiles])
        details: dict[str, Any] = {
            "profile": pairs_up(epsilons, deltas),
            "rdp": self._renyi(),
            "mu_gdp": mu,
            "mu_regret": None if mu is None else 0.0,
            "risk": self._risk(),
        }
        if (rho := self._largest([profile.rho for profile in self._profiles])) is not None:
            details["rho_zcdp"] = rho
        if isinstance(self._plan.mechanism, RecordPrivacy):
            groups = [{"records": k, "epsilon": self._group(k)} for k in GROUPS]
            details |= {"group": groups[0], "groups": groups}
        return details

    def _risk(self) -> dict[str, Any]:
        advantage = max(profile.advantage() for profile in self._profiles)
        posterior = max(profile.posterior(self._plan.delta) for profile in self._profiles)
        return {
            "tpr_at_fpr": self._rates(np.array(FALSE_POSITIVE_RATES)),
            "tpr_curve": self._rates(_CURVE),
            "advantage": rounded_up(advantage),
            "posterior_from_prior_50": rounded_up(posterior),
            "reconstruction_bound": self._rates(np.array(PRIORS)),
        }

    def _rates(self, places: Vector) -> list[list[float]]:
        found = np.max([profile.true_positive_rates(places) for profile in self._profiles], 0)
        return pairs_up(places, found)

    def _renyi(self) -> list[list[float]]:
        found = [profile.renyi() for profile in self._profiles]
        if not all(found):
            return []
        # Orders at which a step's divergence is infinite are left out of all.
        common = set.intersection(*({order for order, _ in curve} for curve in found))
        orders = sorted(common)
        largest = [
            max(value for curve in found for at, value in curve if at == order) for order in orders
        ]
        return pairs_up(orders, largest)

    def _group(self, records: int) -> float:
        return max(group_epsilon(event, records, self._plan.delta) for event in self._events)

    @staticmethod
    def _largest(found: Sequence[float | None]) -> float | None:
        known = [value for value in found if value is not None]
        return rounded_up(max(known)) if len(known) == len(found) else None

    def _course(self) -> list[list[float]]:
        """(round, epsilon after it), never decreasing; the last is the claim's own."""
        if isinstance(self._plan.mechanism, NoPrivacy):
            return []
        meter, rounds = SpendingMeter(self._plan), sorted({c.round_number for c in self._charges})
        chosen = rounds[:: max(1, len(rounds) // _COURSE)]
        found, so_far = [], 0.0
        for number in sorted({*chosen, rounds[-1]}):
            until = [charge for charge in self._charges if charge.round_number <= number]
            # A coarse number may lie a little above the final one, never the truth.
            epsilon = self._epsilon if number == rounds[-1] else meter.after(until)
            so_far = min(max(epsilon, so_far), self._epsilon)
            found.append([number, so_far])
        return found
