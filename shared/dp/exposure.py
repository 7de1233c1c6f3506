"""What one unit was exposed to, found from the charges of a run."""

from collections import Counter
from collections.abc import Sequence
from operator import ge

from dp_accounting import dp_event as dp

from shared.dp.events import Charge
from shared.dp.mechanisms import RecordPrivacy
from shared.dp.plan import PrivacyPlan

# Events and how often each was released; what one unit of a run was exposed to.
Exposure = tuple[tuple[dp.DpEvent, int], ...]


def planned_exposure(plan: PrivacyPlan) -> Exposure:
    """Of a unit of a client that is asked every time that `plan` asks anybody."""
    return tuple(plan.events().values())


def exposures(plan: PrivacyPlan, charges: Sequence[Charge]) -> tuple[Exposure, ...]:
    """Exposures of which one is the worst of any unit after `charges`; never none.

    Record level: of each client by what it was charged; who was asked no more often than another
    in any way is left out. Client level, and without privacy: all charges, whoever was asked.
    """
    # An event with a list in it cannot be a key, its text can.
    events = {repr(charge.event): charge.event for charge in charges}
    asked: dict[str, Counter[str]] = {name: Counter() for name in events}
    for charge in charges:
        alike = isinstance(plan.mechanism, RecordPrivacy)
        asked[repr(charge.event)].update(charge.clients if alike else ("everybody",))
    clients = set().union(*asked.values())
    counts = {tuple(asked[name][client] for name in events) for client in clients}
    # Without a client there is the exposure to nothing.
    worst = undominated(counts)
    return tuple(tuple(zip(events.values(), row, strict=True)) for row in worst) or ((),)


def undominated(counts: set[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """Rows than which no other is at least as large in every place; ascending."""
    kept: list[tuple[int, ...]] = []
    # Whoever dominates a row stands before it in this order.
    for row in sorted(counts, reverse=True):
        if not any(all(map(ge, other, row)) for other in kept):
            kept.append(row)
    return sorted(kept)


def within_plan(plan: PrivacyPlan, found: Sequence[Exposure]) -> bool:
    """Whether each exposure is to events of the plan, and to none more often than planned."""
    planned: Counter[str] = Counter()
    for event, times in plan.events().values():
        planned[repr(event)] += times
    return all(count <= planned[repr(event)] for exposure in found for event, count in exposure)


def composed(exposure: Exposure) -> dp.DpEvent:
    """`exposure` as one event."""
    return dp.ComposedDpEvent([dp.SelfComposedDpEvent(*part) for part in exposure])
