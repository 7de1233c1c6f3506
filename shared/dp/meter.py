"""What a run has spent so far, at a cost per round that does not grow with the rounds before it."""

import math
from collections import Counter

from dp_accounting import dp_event as dp

from shared.dp.accounting import LIVE_INTERVAL, claim_of
from shared.dp.events import Charge
from shared.dp.exposure import Exposure, composed, planned_exposure, undominated, within_plan
from shared.dp.mechanisms import NoPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan

_EXACT = 4  # bits of a count that are kept; the rest is rounded up


class RunningMeter:
    """Epsilon so far of the worst observer with a finite claim.

    Never below the report's number for the same charges, and never above the planned one while
    the charges are within the plan. After more than 16 releases of one event it is the epsilon of
    up to an eighth more of them, so that it is worked out a few times for each doubling.

    Args:
        plan: What a round costs.
    """

    def __init__(self, plan: PrivacyPlan) -> None:
        self._plan = plan
        self._alike = not isinstance(plan.mechanism, RecordPrivacy)
        self._events: dict[str, dp.DpEvent] = {}
        self._asked: dict[str, Counter[str]] = {}  # of each client, how often by event
        self._rows: Counter[frozenset[tuple[str, int]]] = Counter()  # how many were asked so
        self._planned = claim_of(
            composed(planned_exposure(plan)), plan.delta, plan.mechanism.adjacency
        )

    def add(self, charge: Charge) -> None:
        """Count one charge."""
        name = repr(charge.event)  # an event with a list in it cannot be a key
        self._events[name] = charge.event
        for client in ("everybody",) if self._alike else charge.clients:
            asked = self._asked.setdefault(client, Counter())
            self._move(asked, -1)
            asked[name] += 1
            self._move(asked, 1)

    def _move(self, asked: Counter[str], by: int) -> None:
        row = frozenset(asked.items())
        if not row:
            return  # nobody's exposure to nothing is the worst
        self._rows[row] += by
        if not self._rows[row]:
            del self._rows[row]

    def epsilon(self) -> float:
        """Infinite without privacy, 0 before the first charge."""
        if isinstance(self._plan.mechanism, NoPrivacy):
            return math.inf
        found = self._exposures()
        spent = max(self._of(_more(exposure)) for exposure in found)
        return min(spent, self._planned) if within_plan(self._plan, found) else spent

    def would_exceed(self, charge: Charge, budget: float) -> float | None:
        """What is spent with one charge more, if that is above `budget`; None: it is not."""
        if isinstance(self._plan.mechanism, NoPrivacy):
            return None
        self.add(charge)
        try:
            found = self._exposures()
            # Guarantee: less of what was planned costs no more than all of it.
            if self._planned <= budget and within_plan(self._plan, found):
                return None
            spent = max(self._of(exposure) for exposure in found)
        finally:
            self._take_back(charge)
        return spent if spent > budget else None

    def _take_back(self, charge: Charge) -> None:
        name = repr(charge.event)
        for client in ("everybody",) if self._alike else charge.clients:
            asked = self._asked[client]
            self._move(asked, -1)
            asked[name] -= 1
            if not asked[name]:
                del asked[name]
            self._move(asked, 1)

    def _exposures(self) -> tuple[Exposure, ...]:
        names = list(self._events)
        counts = {tuple(dict(row).get(name, 0) for name in names) for row in self._rows}
        worst = undominated(counts)
        events = [self._events[name] for name in names]
        return tuple(tuple(zip(events, row, strict=True)) for row in worst) or ((),)

    def _of(self, exposure: Exposure) -> float:
        plan = self._plan
        return claim_of(
            composed(exposure), plan.delta, plan.mechanism.adjacency, interval=LIVE_INTERVAL
        )


def _more(exposure: Exposure) -> Exposure:
    return tuple((event, _rounded_up(count)) for event, count in exposure)


def _rounded_up(count: int) -> int:
    """At least `count`, at most an eighth more; itself up to 16.

    >>> [_rounded_up(count) for count in (1, 16, 17, 1000)]
    [1, 16, 18, 1024]
    """
    step = 1 << max(0, count.bit_length() - _EXACT)
    return -(-count // step) * step
