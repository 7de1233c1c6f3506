"""The site's privacy ledger: durable, owned by the site, over all runs and servers.

RESERVE is on disk, with a witness, before any private byte is read; COMMIT follows when the reply
leaves. A crash in between stays charged. What would overspend, what is not known and what was
asked before is refused. Neither flwr nor torch is needed to open one.

Source: OpenDP's privacy filters, Sage (blocks of data), Cookie Monster (SOSP 2024, one budget over
all queriers); docs/privacy.md says what remains: whoever can replace journal, witness and key
together can also rewrite the past.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from dp_accounting import dp_event as dp

from client.ledger_journal import Journal, create_journal
from client.ledger_state import Block, Grant, Key, LedgerState, Release, key_of
from client.packed_digests import check_hexadecimal
from shared.dp.events import event_from_json
from shared.dp.mechanisms import Adjacency, CorrelatedPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.renyi import NOTHING, added, renyi_cost
from shared.errors import AggregationRefused, PrivacyError, StateError
from shared.secagg.refusal import Refusal

_MOST_ROUNDS = 10**6  # that a forecast tells apart


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerHead:
    """Where a ledger stands: the site's signed word that `count` entries lead to `hash`."""

    count: int
    hash: str
    signature: str
    public_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A release that is paid for.

    Attributes:
        key: Of the release.
        charged: False where a seeded run repeats a release bit for bit.
    """

    key: Key
    charged: bool


class SiteLedger(Protocol):
    """What a client needs of a ledger.

    Attributes:
        remembers_replies: Whether `commit` writes anything down; if not, it need not be called.
    """

    remembers_replies: ClassVar[bool]

    def reserve(
        self, release: Release, *, repeatable: bool, unanswered: bool = False
    ) -> Reservation:
        """Charge `release`, or raise."""

    def commit(self, reservation: Reservation, reply_digest: str) -> None:
        """Say what left."""

    def unmask(self, context: str) -> None:
        """Allow one answer to a request to unmask, or raise."""

    def head(self) -> LedgerHead | None:
        """Where the ledger stands; None where nobody signs it."""


class Ledger:
    """A site's ledger in a folder of its own.

    Args:
        folder: As `create` made it.
        witness: The second file, if it lies elsewhere than beside the folder.
        clock: Seconds since 1970.

    Raises:
        StateError: anything in it was changed, is missing, or is an old copy.
    """

    remembers_replies: ClassVar[bool] = True

    def __init__(
        self,
        folder: Path,
        witness: Path | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal = Journal(folder, witness)
        self._place = (folder, witness)
        self._clock = clock
        self._state = LedgerState()
        with self._current():
            pass

    @classmethod
    def create(cls, folder: Path, grant: Grant, witness: Path | None = None) -> "Ledger":
        """A new ledger with its first budget.

        Raises:
            StateError: there is one already, or the folder cannot be written.
        """
        create_journal(folder, witness)
        ledger = cls(folder, witness)
        ledger.set_budget(grant)
        return ledger

    def set_budget(self, grant: Grant) -> None:
        """The owner's word on one block; what was spent of it stays spent.

        Raises:
            ConfigurationError: the block is known with another unit or data set.
        """
        with self._current():
            self._state.check_grant(grant)
            entry = {"kind": "set_budget", "grant": asdict(grant), "time": self._clock()}
            self._append(entry)

    def reserve(
        self, release: Release, *, repeatable: bool = False, unanswered: bool = False
    ) -> Reservation:
        """Charge `release` on disk, before any private byte is read.

        Args:
            release: What is asked for.
            repeatable: The answer will be, byte for byte, the one that was charged before (a
                seeded run): then a repeated request costs nothing. Otherwise it is refused, since
                the average of two answers has less noise than one.
            unanswered: Whoever asks commits a reply before it lets it out. Then a request that was
                charged, and to which no reply was committed, costs nothing once more: its process
                died before anything left.

        Raises:
            BudgetExhausted: it would overspend.
            PrivacyError: unknown, changed, repeated, or too soon.
            StateError: the ledger is damaged, or cannot be written.
        """
        with self._current():
            if self._state.is_reserved(release.key):
                self._state.check_request(release)
                again = unanswered and self._state.reply_to(release.key) is None
                if not (repeatable or again):
                    raise PrivacyError(
                        f"round {release.round_number}, attempt {release.attempt} was asked for "
                        "before; expected a new attempt"
                    )
                return Reservation(key=release.key, charged=False)
            entry = self._state.entry_for(release, self._clock())
            # Guarantee: on disk before this returns; a crash from here on stays charged.
            self._append(entry)
        return Reservation(key=release.key, charged=True)

    def commit(self, reservation: Reservation, reply_digest: str) -> None:
        """Write down what is to leave, as the SHA-256 of the reply's bytes.

        Raises:
            PrivacyError: another reply was committed to the same request before.
            StateError: it is no SHA-256; nothing is written.
        """
        check_hexadecimal(reply_digest)
        with self._current():
            before = self._state.reply_to(reservation.key)
            if before is None:
                entry = {"kind": "commit", "key": list(reservation.key), "reply": reply_digest}
                self._append(entry)
            elif before != reply_digest:
                # Guarantee: what costs nothing tells nothing new.
                raise PrivacyError("expected the reply that was committed before, got another")

    def unmask(self, context: str) -> None:
        """Note on disk, before it leaves, that the site answers a request to unmask; once.

        Args:
            context: Digest of the attempt that is unmasked, hexadecimal.

        Raises:
            AggregationRefused: it was noted before.
            StateError: the ledger is damaged, or cannot be written.
        """
        with self._current():
            if self._state.is_unmasked(context):
                raise AggregationRefused(
                    Refusal.ANSWERED_BEFORE, "expected a context of which nothing was told yet"
                )
            self._append({"kind": "unmask", "context": context})

    def head(self) -> LedgerHead:
        """Signed by the site; a server that keeps it can tell an old copy."""
        journal = self._journal
        return LedgerHead(
            count=journal.count,
            hash=journal.head,
            signature=journal.signature,
            public_key=journal.public_key,
        )

    @property
    def entries(self) -> list[dict[str, Any]]:
        """All of them, read and verified anew: a guard that runs for years keeps sums alone."""
        with Journal(*self._place).locked() as found:
            return found

    @property
    def blocks(self) -> dict[str, Block]:
        """By name."""
        return self._state.blocks

    @property
    def reservations(self) -> dict[Key, str | None]:
        """Every release that was charged, and the digest of what was sent for it; as `entries`."""
        kept = [entry for entry in self.entries if entry["kind"] in {"reserve", "commit"}]
        return {key_of(entry): entry.get("reply") for entry in kept}

    @property
    def torn(self) -> int:
        """How often a crash left half an entry behind, for which nothing was released."""
        return self._state.torn

    def spent(self, block: str) -> float:
        """Epsilon of `block` at its delta by the Rényi filter, rounded up."""
        known = self._state.blocks[block]
        return known.budget.epsilon_of(known.spent)

    def exposure(self, block: str) -> dp.DpEvent:
        """All events charged to `block`; its PLD epsilon is below the filter's."""
        return dp.ComposedDpEvent(
            [
                event_from_json(entry["event"])
                for entry in self.entries
                if entry["kind"] == "reserve" and block in entry["blocks"]
            ]
        )

    def forecast(self, event: dp.DpEvent, *, unit: str, adjacency: Adjacency, server: str) -> int:
        """How many more releases of `event` every block and the server's quota allow."""
        cost = renyi_cost(event, adjacency, unit=unit)
        return min((b.times(server, cost) for b in self.blocks.values()), default=0)

    def rounds_left(self, plan: PrivacyPlan, server: str) -> int:
        """How many rounds of a new run of `plan`, its questions included, are allowed.

        Of correlated noise, which is one release over the whole run: all or none.

        Raises:
            PrivacyError: the budget is of another unit, or the plan is not private.
        """
        unit, adjacency = plan.mechanism.unit, plan.mechanism.adjacency
        self._state.check_unit(tuple(self.blocks), unit, adjacency)

        def fits(rounds: int) -> bool:
            cost = NOTHING
            for event, times in plan.events(rounds).values():
                each = renyi_cost(event, adjacency, unit=unit)
                cost = added(cost, tuple(times * amount for amount in each))
            return all(block.admits(server, cost) for block in self.blocks.values())

        if isinstance(plan.mechanism, CorrelatedPrivacy):
            return plan.rounds if fits(plan.rounds) else 0
        return bisect_left(range(1, _MOST_ROUNDS), True, key=lambda rounds: not fits(rounds))

    @contextmanager
    def _current(self) -> Iterator[None]:
        try:
            with self._journal.locked() as found:
                self._take_in(found)
                yield
        except (StateError, OSError):
            # Guarantee: after any failure memory may lack what is on disk, and would grant it
            # again; so everything is read anew.
            self._journal.forget()
            self._state = LedgerState()
            raise

    def _append(self, entry: dict[str, Any]) -> None:
        self._journal.append(entry)
        self._take_in([entry])

    def _take_in(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            self._state.apply(entry)
