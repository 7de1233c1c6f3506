"""The site's ledger: no more than its owner granted is ever released, whoever asks.

It belongs to the site and outlives runs, servers and processes. A release is reserved, durably,
before any private byte is read; what was reserved stays charged, whether or not a reply left.
Whether a release fits depends on public parameters alone, so a refusal tells nothing.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dp_accounting import dp_event as dp

from client.ledger_journal import Entry, Journal
from client.ledger_keys import SigningKey
from client.ledger_state import Block, LedgerState, budget_body
from shared.dp.events import KINDS, event_to_json
from shared.dp.mechanisms import Adjacency
from shared.dp.renyi import renyi_cost
from shared.errors import BudgetExhausted, ConfigurationError, PrivacyError, StateError

_UNITS = {"record": Adjacency.ADD_OR_REMOVE_ONE, "client": Adjacency.ZERO_OUT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One answer that a server asks for; every field is public.

    Attributes:
        server: Name or key of who asks; its quota is counted by it.
        run_id: Of the run; one plan each.
        kind: train, evaluate or statistics.
        round_number: 1-based.
        attempt: 1-based.
        plan_digest: SHA-256 of the run's plan, hexadecimal.
        event: What one unit is exposed to by the answer.
        unit: record or client, as the ledger's.
        adjacency: As the ledger's.
        blocks: Names of the blocks of records that are read; empty: all.
    """

    server: str
    run_id: str
    kind: str
    round_number: int
    attempt: int
    plan_digest: str
    event: dp.DpEvent
    unit: str
    adjacency: str
    blocks: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        """A release is reserved once for each."""
        return self.server, self.run_id, self.kind, self.round_number, self.attempt


@dataclass(frozen=True, slots=True)
class Reservation:
    """Leave to answer once.

    Attributes:
        release: What may be answered.
        already_committed_digest: SHA-256 of the reply that was sent to the same request before.
    """

    release: Release
    already_committed_digest: str | None = None


@dataclass(frozen=True, slots=True)
class LedgerHead:
    """The newest entry: its number, its hash, and the site's signature of it (hexadecimal)."""

    count: int
    hash: str
    signature: str
    public_key: str


class Ledger:
    """Open one by `Ledger.create` or `Ledger.open`; several processes may hold the same.

    Args:
        journal: The files.
        key: The site's.
        now: Seconds since 1970; for the minimum separation.
    """

    def __init__(
        self, journal: Journal, key: SigningKey, now: Callable[[], float] = time.time
    ) -> None:
        self._journal, self._key, self._now = journal, key, now
        self._entries: list[Entry] = []
        self._state = LedgerState()
        with self._current():
            pass

    @classmethod
    def create(  # noqa: PLR0913 - what an owner decides
        cls,
        folder: Path,
        *,
        data_set: str,
        unit: str,
        epsilon: float,
        delta: float,
        block: str = "all",
        quota: float = 1.0,
        min_separation_s: float = 0.0,
        witness: Path | None = None,
    ) -> "Ledger":
        """A new ledger in `folder`, with a budget of (epsilon, delta) for `block`.

        Args:
            folder: Made if missing; must hold no ledger.
            data_set: Name of the data.
            unit: record (add or remove one) or client (zero-out).
            epsilon: Over all runs and servers, for ever.
            delta: At which.
            block: Of records; later ones get budgets of their own by `set_budget`.
            quota: Share in (0, 1] of the block's budget that one server may use.
            min_separation_s: Seconds between two releases, at least.
            witness: File of the newest entry; by default beside the folder. Best on another disk.

        Raises:
            ConfigurationError: a value outside its domain.
            StateError: a ledger or witness is there already, or cannot be written.
        """
        if unit not in _UNITS:
            raise ConfigurationError(f"unit must be one of {sorted(_UNITS)}, got {unit!r}")
        granted = Block.of(epsilon, delta, quota, min_separation_s)
        folder, witness = folder.absolute(), _witness_of(folder, witness)
        journal = Journal(folder, witness)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with journal.locked():
                if journal.path.exists() or witness.exists():
                    raise StateError(f"expected no ledger in {folder} (or {witness}), got one")
                key = SigningKey.create(folder / "ledger.key")
                body = budget_body(block, granted) | {
                    "data_set": data_set,
                    "unit": unit,
                    "adjacency": _UNITS[unit].value,
                    "public_key": key.public_hex,
                }
                journal.append(Entry.make(body, None, key))
        except OSError as error:
            raise StateError(f"a ledger cannot be made in {folder}: {error}") from error
        return cls(Journal(folder, witness), key)

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        witness: Path | None = None,
        now: Callable[[], float] = time.time,
    ) -> "Ledger":
        """The ledger in `folder`, every entry verified.

        Raises:
            StateError: there is none, or it is damaged, cut, or an old copy; says which entry.
        """
        if not folder.is_dir():
            raise StateError(f"expected a ledger in {folder}, got none")
        folder, witness = folder.absolute(), _witness_of(folder, witness)
        return cls(Journal(folder, witness), SigningKey.read(folder / "ledger.key"), now)

    def set_budget(
        self, block: str, *, epsilon: float, delta: float, quota: float = 1.0,
        min_separation_s: float = 0.0,
    ) -> None:  # fmt: skip
        """Grant (epsilon, delta) to `block`, new or known; what was spent stays spent."""
        granted = Block.of(epsilon, delta, quota, min_separation_s)
        with self._current():
            self._append(budget_body(block, granted))

    def reserve(self, release: Release, *, repeatable: bool = False) -> Reservation:
        """Charge `release`, durably, to every block it touches; only then may data be read.

        Args:
            release: What is asked.
            repeatable: The answer to the same request is the same bytes (a stored reply, or a
                seeded simulation), so that asking again costs nothing.

        Raises:
            BudgetExhausted: it does not fit a budget or a server's quota; nothing is charged.
            PrivacyError: an event that cannot be accounted, another unit or plan, a request that
                was answered before, or too soon.
            StateError: the ledger is damaged or cannot be written; nothing is granted.
        """
        cost = renyi_cost(release.event, release.adjacency, unit=release.unit)
        if release.kind not in KINDS:
            raise PrivacyError(f"expected a kind of {KINDS}, got {release.kind!r}")
        with self._current():
            state = self._state
            self._check_run(release)
            if release.key in state.reserved:
                return self._repeated(release, repeatable=repeatable)
            blocks = self._touched(release)
            state.check_separation(blocks, self._now())
            if not all(state.admits(name, release.server, cost) for name in blocks):
                head = self._entries[-1]
                raise BudgetExhausted(
                    f"the site's budget does not admit this release (ledger entry {head.count}, "
                    f"{head.hash[:16]})"
                )
            self._append(
                _key_body(release)
                | {
                    "entry": "reserve",
                    "plan_digest": release.plan_digest,
                    "event": event_to_json(release.event),
                    "blocks": list(blocks),
                    "cost": list(cost),
                    "time": self._now(),
                }
            )
        return Reservation(release)

    def commit(self, reservation: Reservation, reply: str) -> None:
        """Note the SHA-256 `reply` (hexadecimal) of the answer that is about to leave.

        Raises:
            PrivacyError: nothing was reserved for it, or another answer was committed before.
        """
        release = reservation.release
        with self._current():
            if release.key not in self._state.reserved:
                raise PrivacyError("expected a reserved release to commit, got one that is not")
            before = self._state.committed.get(release.key)
            if before is None:
                self._append(_key_body(release) | {"entry": "commit", "reply": reply})
            elif before != reply:
                # Guarantee: two different answers are two releases, and one was charged.
                raise PrivacyError("expected the answer that was committed before, got another")

    def head(self) -> LedgerHead:
        """The newest entry's signature; for the server's report."""
        last = self._entries[-1]
        return LedgerHead(last.count, last.hash, last.signature, self._key.public_hex)

    @property
    def unit(self) -> str:
        """Unit of privacy: record or client."""
        return str(self._entries[0].body["unit"])

    @property
    def adjacency(self) -> str:
        """Adjacency of every epsilon here."""
        return str(self._entries[0].body["adjacency"])

    @property
    def blocks(self) -> Mapping[str, Block]:
        """Budget of each block."""
        return self._state.blocks

    def spent(self, block: str | None = None) -> float:
        """Epsilon spent by `block` (None: the one that spent most) at its delta, rounded up."""
        names = list(self.blocks) if block is None else [block]
        return max(self._state.epsilon_of(name) for name in names)

    def forecast(self, event: dp.DpEvent, rounds_max: int) -> int:
        """How many releases of `event`, at most `rounds_max`, fit every block; quotas left out."""
        cost = renyi_cost(event, self.adjacency, unit=self.unit)
        return min(rounds_max, *(self._state.rounds_left(name, cost) for name in self.blocks))

    def export(self) -> list[dict[str, Any]]:
        """Every entry, as plain JSON."""
        return [
            {
                "count": entry.count,
                "previous": entry.previous,
                "body": dict(entry.body),
                "hash": entry.hash,
                "signature": entry.signature,
            }
            for entry in self._entries
        ]

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Within it the lock is held, and memory is what the disk says."""
        with self._journal.locked():
            if self._journal.changed():
                # Guarantee: after any failure nothing is granted from memory.
                self._entries = self._journal.read()
                if self._entries[0].body["public_key"] != self._key.public_hex:
                    raise StateError("expected the key that signed this ledger, got another")
                self._state = LedgerState()
                for entry in self._entries:
                    self._state.apply(entry.body)
            yield

    def _append(self, body: Mapping[str, Any]) -> None:
        entry = Entry.make(body, self._entries[-1], self._key)
        self._journal.append(entry)
        self._entries.append(entry)
        self._state.apply(body)

    def _check_run(self, release: Release) -> None:
        if (release.unit, release.adjacency) != (self.unit, self.adjacency):
            raise PrivacyError(
                f"expected a release of unit {self.unit} ({self.adjacency}), got {release.unit} "
                f"({release.adjacency})"
            )
        known = self._state.plans.get((release.server, release.run_id), release.plan_digest)
        if known != release.plan_digest:
            raise PrivacyError(
                f"expected run {release.run_id!r} to keep its plan {known[:12]}, got "
                f"{release.plan_digest[:12]}"
            )

    def _repeated(self, release: Release, *, repeatable: bool) -> Reservation:
        # Guarantee: a second draw of noise is a second release; it must have another attempt.
        if not repeatable:
            raise PrivacyError(
                "expected a request that was not reserved before, got a repeated one"
            )
        if self._state.reserved[release.key] != event_to_json(release.event):
            raise PrivacyError("expected the event that was reserved before, got another")
        return Reservation(release, self._state.committed.get(release.key))

    def _touched(self, release: Release) -> tuple[str, ...]:
        names = release.blocks or tuple(self.blocks)
        if unknown := sorted(set(names) - set(self.blocks)):
            raise PrivacyError(f"expected blocks of {sorted(self.blocks)}, got {unknown}")
        return tuple(dict.fromkeys(names))


def verify(folder: Path, *, witness: Path | None = None) -> LedgerHead:
    """The head of the ledger in `folder`, if all of it is sound. Raises StateError."""
    return Ledger.open(folder, witness=witness).head()


def _witness_of(folder: Path, witness: Path | None) -> Path:
    folder = folder.absolute()
    return witness or folder.parent / f".{folder.name}.witness"


def _key_body(release: Release) -> dict[str, Any]:
    names = ("server", "run_id", "kind", "round_number", "attempt")
    return dict(zip(names, release.key, strict=True))
