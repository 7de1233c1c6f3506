"""What each client was exposed to, a second time, from the charges; see `recomputation`."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import ge
from typing import Any

from server.report.replan import steps_of
from server.report.single_steps import Step

Charges = Sequence[Mapping[str, Any]]


def exposures(charges: Charges, unit: str) -> list[Counter[Step]]:
    """Steps of every client that was asked no less in some way than each other; never none.

    At client level, and without privacy, one for everybody.
    """
    if unit != "record":
        total: Counter[Step] = Counter()
        for charge in charges:
            total += steps_of(charge["event"])
        return [total]
    rows, events = _asked(charges, unit), {_key(c["event"]): c["event"] for c in charges}
    counts = {tuple(row[key] for key in events) for row in rows.values()}
    kept = [
        row
        for row in sorted(counts)
        if not any(other != row and all(map(ge, other, row)) for other in counts)
    ]
    return [_sum(events, row) for row in kept] or [Counter()]


def within(planned: Sequence[tuple[Mapping[str, Any], int]], charges: Charges, unit: str) -> bool:
    """Whether no client was exposed to an event more often than planned."""
    most: Counter[str] = Counter()
    for event, times in planned:
        most[_key(event)] += times
    rows = _asked(charges, unit).values()
    return all(count <= most[key] for row in rows for key, count in row.items())


def _asked(charges: Charges, unit: str) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for charge in charges:
        for name in set(charge["clients"]) if unit == "record" else {""}:
            found.setdefault(name, Counter())[_key(charge["event"])] += 1
    return found


def _sum(events: Mapping[str, Mapping[str, Any]], row: tuple[int, ...]) -> Counter[Step]:
    total: Counter[Step] = Counter()
    for event, times in zip(events.values(), row, strict=True):
        total += steps_of(event, times)
    return total


def _key(event: Mapping[str, Any]) -> str:
    return json.dumps(event, sort_keys=True)
