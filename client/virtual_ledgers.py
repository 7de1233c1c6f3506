"""The ledgers of a simulation's many clients, in one: the same arithmetic, one array, one file.

For simulation only: no signature, no witness, no fsync; a charge costs microseconds. Decisions are
those of `client.ledger`, on the same whole numbers.
"""

import json
import threading
from pathlib import Path
from tempfile import TemporaryFile
from typing import ClassVar

import numpy as np
from dp_accounting import dp_event as dp
from numpy.typing import NDArray

from client.ledger import LedgerHead, Reservation
from client.ledger_state import Release, charged
from shared.dp.accounting import LIVE_INTERVAL, claim_of
from shared.dp.plan import PrivacyPlan
from shared.dp.renyi import NOTHING, RENYI_ORDERS, RenyiBudget, Spending, added, renyi_cost
from shared.errors import BudgetExhausted, PrivacyError, StateError

_FILE = "charges.jsonl"
Place = tuple[int, int]  # round and attempt


class VirtualLedgers:
    """One ledger for each of `count` virtual clients.

    Args:
        folder: Where the charges are kept, so that a resumed run finds them.
        count: Number of clients.
        budget: Of each.

    Raises:
        StateError: the file in `folder` cannot be read or written.
    """

    def __init__(self, folder: Path, count: int, budget: RenyiBudget) -> None:
        self._budget, self._count = budget, count
        # Guarantee: clients that train at the same time never share a row, or a place in the file.
        self._alone = threading.RLock()
        # Of a client that was charged before, where it lies: next to those of the same round, so
        # that a round touches a few pages, however many clients there are.
        self._rows: dict[int, int] = {}
        self._rounds: dict[int, frozenset[int]] = {}
        self._costs: dict[Spending, int] = {}
        self._last: dict[tuple[int, str], Place] = {}
        self._latest: dict[str, Place] = {}  # of all clients, by kind
        self._unread: list[tuple[str, Place, NDArray[np.int64]]] = []  # charged together
        self._path = folder / _FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._spent = _on_disk(folder, (count, len(RENYI_ORDERS)))
            self._path.touch()
            text = self._path.read_text()
            # A last line without its end was never acknowledged.
            whole = text[: text.rfind("\n") + 1]
            self._load(whole)
            if whole != text:
                self._path.write_text(whole)
        except OSError as error:
            raise StateError(f"{self._path} cannot be used: {error.strerror}") from error

    def of(self, index: int) -> "VirtualLedger":
        """The ledger of client `index`."""
        return VirtualLedger(self, index)

    def reserve(self, index: int, release: Release, *, repeatable: bool) -> Reservation:
        """As `Ledger.reserve`, for client `index`."""
        place = (release.round_number, release.attempt)
        self._read_up()
        last = self._last.get((index, release.kind), (0, 0))
        if place <= last:
            if not repeatable:
                raise PrivacyError(f"expected a round and attempt after {last}, got {place}")
            return Reservation(key=release.key, charged=False)
        event = charged(release, self._rounds.get(index, frozenset()))
        cost = renyi_cost(event, release.adjacency, unit=release.unit)
        self._charge(index, cost)
        self._remember(index, release.kind, place)
        self._write([index], release, cost)
        return Reservation(key=release.key, charged=True)

    def admits(self, index: int, release: Release) -> bool:
        """Whether client `index` takes part: charged now, or for the same round before."""
        try:
            self.reserve(index, release, repeatable=True)
        except BudgetExhausted:
            return False
        return True

    def reserve_each(self, indices: np.ndarray, release: Release) -> np.ndarray:
        """Charge many clients at once; returns whose budget allowed it, shape of `indices`.

        For a cohort engine: the same decisions as one by one, in one write.

        Raises:
            PrivacyError: a client is named twice, was asked before, or takes part in correlated
                noise, which is charged one by one.
        """
        place = (release.round_number, release.attempt)
        new = place > self._latest.get(release.kind, (0, 0)) or self._is_new(
            place, indices, release
        )
        # Guarantee: an array charges an index that is in it twice only once.
        twice = len(set(indices.tolist())) < len(indices)
        if not new or twice or release.participation is not None:
            raise PrivacyError(
                f"expected different clients that were not asked for {place} before, without "
                "correlated noise"
            )
        cost = renyi_cost(release.event, release.adjacency, unit=release.unit)
        rows = np.array([self._row(index) for index in indices.tolist()], dtype=np.intp)
        spent = self._spent[rows]
        fits = self._budget.admits_each(spent, cost)
        self._spent[rows[fits]] = self._budget.charge_each(spent[fits], cost)
        paying = indices[fits]
        if len(paying):
            self._unread.append((release.kind, place, paying))
            self._latest[release.kind] = max(place, self._latest.get(release.kind, (0, 0)))
        self._write(paying.tolist(), release, cost)
        return fits

    def epsilon(self, index: int) -> float:
        """What client `index` has spent, rounded up."""
        return self._budget.epsilon_of(self.spent(index))

    def spent(self, index: int) -> Spending:
        """By client `index`, at each order."""
        if index not in self._rows:
            return NOTHING
        return tuple(int(amount) for amount in self._spent[self._rows[index]])

    def _row(self, index: int) -> int:
        if not 0 <= index < self._count:
            raise IndexError(f"expected a client below {self._count}, got {index}")
        with self._alone:
            return self._rows.setdefault(index, len(self._rows))

    def _charge(self, index: int, cost: Spending) -> None:
        first = self._row(index)
        row = self._spent[first : first + 1]
        if not self._budget.admits_each(row, cost)[0]:
            raise BudgetExhausted("the site's privacy budget does not allow this release")
        row[:] = self._budget.charge_each(row, cost)

    def _is_new(self, place: Place, indices: np.ndarray, release: Release) -> bool:
        """Whether `place` comes after all that each client was asked of this kind."""
        self._read_up()
        names = indices.tolist()
        return all(place > self._last.get((name, release.kind), (0, 0)) for name in names)

    def _read_up(self) -> None:
        """Remember of each client what was charged to many: only where one is asked alone."""
        with self._alone:
            for kind, place, indices in self._unread:
                for index in indices.tolist():
                    self._remember(index, kind, place)
            self._unread.clear()

    def _remember(self, index: int, kind: str, place: Place) -> None:
        with self._alone:
            self._last[index, kind] = place
            self._latest[kind] = max(place, self._latest.get(kind, (0, 0)))
            if kind == "train":
                self._rounds[index] = self._rounds.get(index, frozenset()) | {place[0]}

    def _write(self, indices: list[int], release: Release, cost: Spending) -> None:
        with self._alone:
            lines = []
            if cost not in self._costs:
                self._costs[cost] = len(self._costs)
                lines.append(json.dumps(cost))
            place = (release.kind, release.round_number, release.attempt)
            rest = json.dumps([*place, self._costs[cost]])[1:]
            lines += [f"[{index}, {rest}" for index in indices]
            try:
                # Opened anew, so that no file stays open behind a session that is forgotten.
                with self._path.open("a") as file:
                    file.write("".join(f"{line}\n" for line in lines))
            except OSError as error:
                raise StateError(f"{self._path} cannot be written: {error.strerror}") from error

    def _load(self, text: str) -> None:
        for line in text.splitlines():
            try:
                entry = json.loads(line)
                if len(entry) == len(RENYI_ORDERS):
                    self._costs[tuple(entry)] = len(self._costs)
                    continue
                index, kind, number, attempt, which = entry
                self._charge(index, list(self._costs)[which])
                self._remember(index, kind, (number, attempt))
            except (ValueError, TypeError, IndexError) as error:
                raise StateError(f"{self._path} holds a line of another form") from error


def _on_disk(folder: Path, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Zeros, in a file without a name: pages nobody touched take no room, others need no memory."""
    with TemporaryFile(dir=folder) as file:
        # As a plain array: each look at a part of a memmap makes another memmap, which is slow.
        return np.asarray(np.memmap(file, dtype=np.int64, mode="w+", shape=shape))


class VirtualLedger:
    """One client's view of `VirtualLedgers`."""

    # No reply of a simulation leaves the process.
    remembers_replies: ClassVar[bool] = False

    def __init__(self, ledgers: VirtualLedgers, index: int) -> None:
        self._ledgers = ledgers
        self._index = index

    def reserve(
        self,
        release: Release,
        *,
        repeatable: bool,
        unanswered: bool = False,  # noqa: ARG002 - nothing is remembered of replies
    ) -> Reservation:
        """As `Ledger.reserve`."""
        return self._ledgers.reserve(self._index, release, repeatable=repeatable)

    def commit(self, reservation: Reservation, reply_digest: str) -> None:
        """Nothing."""

    def unmask(self, context: str) -> None:
        """Nothing: in a simulation the context of a client is kept as soon as it has answered."""

    def head(self) -> LedgerHead | None:
        """None: nobody signs it."""
        return None


def virtual_budget(plan: PrivacyPlan) -> RenyiBudget:
    """What a virtual client grants the run: the plan's budget, in the filter's coarser measure.

    The server admits rounds by their PLD epsilon, which is smaller than the filter's for the same
    events, and smaller still where it may count the sampling of clients; so the budget grows by
    that ratio and a twentieth: what the server admits, a repeated round too, is not refused here.
    """
    adjacency, unit = plan.mechanism.adjacency, plan.mechanism.unit
    cost, planned = NOTHING, []
    for event, times in plan.events().values():
        planned.append(dp.SelfComposedDpEvent(event, times))
        for _ in range(times):
            cost = added(cost, renyi_cost(event, adjacency, unit=unit))
    needed = RenyiBudget(1.0, plan.delta).epsilon_of(cost)
    claimed = claim_of(dp.ComposedDpEvent(planned), plan.delta, adjacency, interval=LIVE_INTERVAL)
    ratio = max(1.0, needed / claimed) if claimed > 0.0 else 1.0
    return RenyiBudget(1.05 * ratio * plan.epsilon_budget, plan.delta)
