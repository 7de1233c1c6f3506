"""What a ledger's entries add up to, and which release they still allow: no file, no clock.

Every decision rests on public numbers: the budget, the event, the times and names of requests. So
a refusal tells nothing of the data.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import Any

from dp_accounting import dp_event as dp

from client.packed_digests import DIGEST_BYTES, PackedDigests
from client.participation import Participation
from shared.dp.events import event_to_json
from shared.dp.mechanisms import Adjacency
from shared.dp.renyi import NOTHING, RenyiBudget, Spending, added, renyi_cost
from shared.errors import BudgetExhausted, ConfigurationError, PrivacyError, StateError

Key = tuple[str, str, str, int, int]
_NO_REPLY, _REPLY = bytes(1 + DIGEST_BYTES), b"\1"
_ADJACENCY = {"record": Adjacency.ADD_OR_REMOVE_ONE, "client": Adjacency.ZERO_OUT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """What a server asks for.

    Attributes:
        server: Who asks; a name that the site's owner gave it.
        run_id: Of the server's run.
        kind: train, evaluate or statistics.
        round_number: 1-based.
        attempt: 1-based.
        plan_digest: Of the run's privacy plan; the same in all of a run.
        event: What one unit is exposed to.
        unit: record or client.
        adjacency: Of the run's claims.
        blocks: Which blocks of the data are touched; none named: all.
        participation: Where one event covers the whole run: what it rests on.
    """

    server: str
    run_id: str
    kind: str
    round_number: int
    attempt: int
    plan_digest: str
    event: dp.DpEvent
    unit: str
    adjacency: Adjacency
    blocks: tuple[str, ...] = ()
    participation: Participation | None = None

    @property
    def key(self) -> Key:
        """A release is charged once for each."""
        return (self.server, self.run_id, self.kind, self.round_number, self.attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What the owner of the data allows for one block of them.

    Attributes:
        data_set: Name of the data.
        block: Part of them, e.g. a year of admissions; new records open new blocks.
        unit: Whose presence is hidden.
        epsilon: Over all servers, runs and times together.
        delta: Likewise.
        quota: Share of epsilon that one server may spend.
        min_separation_s: Seconds between two releases of one kind to one server.
    """

    data_set: str
    block: str
    unit: str
    epsilon: float
    delta: float
    quota: float = 1.0
    min_separation_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a grant that means nothing."""
        RenyiBudget(self.epsilon, self.delta)
        if self.unit not in {"record", "client"} or not 0.0 < self.quota <= 1.0:
            raise ConfigurationError(
                f"expected unit record or client and a quota in (0, 1], got {self.unit!r} and "
                f"{self.quota!r}"
            )
        if not 0.0 <= self.min_separation_s < float("inf") or not self.block or not self.data_set:
            got = (self.data_set, self.block, self.min_separation_s)
            raise ConfigurationError(f"expected names and a separation of at least 0 s, got {got}")


@dataclass
class Block:
    """One block's grant and what was spent of it, by all servers and by each."""

    grant: Grant
    spent: Spending = NOTHING
    by_server: dict[str, Spending] = field(default_factory=dict)

    @property
    def budget(self) -> RenyiBudget:
        """Of all servers."""
        return RenyiBudget(self.grant.epsilon, self.grant.delta)

    @property
    def quota(self) -> RenyiBudget:
        """Of one server."""
        return RenyiBudget(self.grant.epsilon * self.grant.quota, self.grant.delta)

    def admits(self, server: str, cost: Spending) -> bool:
        """Whether both the budget and the server's quota allow `cost`."""
        mine = self.by_server.get(server, NOTHING)
        return self.budget.admits(self.spent, cost) and self.quota.admits(mine, cost)

    def times(self, server: str, cost: Spending) -> int:
        """How often `cost` still fits both."""
        mine = self.by_server.get(server, NOTHING)
        return min(self.budget.times(self.spent, cost), self.quota.times(mine, cost))

    def charge(self, server: str, cost: Spending) -> None:
        """Take it off."""
        self.spent = added(self.spent, cost)
        self.by_server[server] = added(self.by_server.get(server, NOTHING), cost)


class LedgerState:
    """The sum of a ledger's entries; a release takes some hundred bytes of memory, not more."""

    def __init__(self) -> None:
        self.blocks: dict[str, Block] = {}
        self._replies = PackedDigests(1 + DIGEST_BYTES)  # of keys, to digests of what was sent
        self.plans: dict[tuple[str, str], str] = {}
        self.last: dict[tuple[str, str], float] = {}
        self._rounds: dict[tuple[str, str], tuple[int, ...]] = {}
        self._unmasked = PackedDigests()
        self.torn = 0

    def apply(self, entry: Mapping[str, Any]) -> None:
        """Take one entry in. Raises StateError on one of another form."""
        try:
            match entry["kind"]:
                case "set_budget":
                    self._set_budget(Grant(**entry["grant"]))
                case "reserve":
                    self._reserve(entry)
                case "commit":
                    self._commit(entry)
                case "unmask":
                    self._unmasked.put(_digest(entry["context"]))
                case "torn":
                    self.torn += 1
                case other:
                    raise ValueError(other)
        except (KeyError, TypeError, ValueError) as error:
            raise StateError("the ledger holds an entry of another form") from error

    def _set_budget(self, grant: Grant) -> None:
        known = self.blocks.get(grant.block)
        self.blocks[grant.block] = (
            Block(grant) if known is None else Block(grant, known.spent, known.by_server)
        )

    def _reserve(self, entry: Mapping[str, Any]) -> None:
        server, run_id, kind, number, _ = key = key_of(entry)
        # Guarantee: what was written counts, not what today's code would make of the event.
        cost = tuple(int(amount) for amount in entry["cost"])
        for block in entry["blocks"]:
            self.blocks[block].charge(server, cost)
        self._replies.put(_digest(key), _NO_REPLY)
        self.plans[server, run_id] = entry["plan_digest"]
        self.last[server, kind] = entry["time"]
        if kind == "train" and number not in (known := self._rounds.get((server, run_id), ())):
            self._rounds[server, run_id] = (*known, number)

    def _commit(self, entry: Mapping[str, Any]) -> None:
        self._replies.put(_digest(key_of(entry)), _REPLY + bytes.fromhex(entry["reply"]))

    def is_reserved(self, key: Key) -> bool:
        """Whether it was charged."""
        return _digest(key) in self._replies

    def reply_to(self, key: Key) -> str | None:
        """SHA-256 of what was sent for it; None: nothing was, as far as is known."""
        found = self._replies.get(_digest(key))
        return found[1:].hex() if found and found != _NO_REPLY else None

    def is_unmasked(self, context: str) -> bool:
        """Whether the site told something of that attempt."""
        return _digest(context) in self._unmasked

    def rounds_of(self, server: str, run_id: str) -> frozenset[int]:
        """Rounds of a run that the site trained in."""
        return frozenset(self._rounds.get((server, run_id), ()))

    def entry_for(self, release: Release, now: float) -> dict[str, Any]:
        """The entry that charges `release`.

        Raises:
            BudgetExhausted: the budget of a block, or the server's quota, would be overspent.
            PrivacyError: another plan than before in this run, too soon after the last, another
                unit than granted, an unknown event, or a block without a budget.
        """
        blocks = self._blocks_of(release)
        self.check_request(release)
        self._check_separation(release, now)
        event = charged(release, self.rounds_of(release.server, release.run_id))
        cost = renyi_cost(event, release.adjacency, unit=release.unit)
        if not all(self.blocks[name].admits(release.server, cost) for name in blocks):
            # Secrecy: no number: the answer is the same whatever the data hold.
            raise BudgetExhausted("the site's privacy budget does not allow this release")
        return {
            "kind": "reserve",
            "key": list(release.key),
            "plan_digest": release.plan_digest,
            "unit": release.unit,
            "adjacency": release.adjacency.value,
            "blocks": list(blocks),
            "event": event_to_json(event),
            "cost": list(cost),
            "time": now,
        }

    def check_grant(self, grant: Grant) -> None:
        """Raise ConfigurationError if what was spent of its block was of something else."""
        known = self.blocks.get(grant.block)
        before = known and (known.grant.unit, known.grant.data_set)
        if before not in {None, (grant.unit, grant.data_set)}:
            raise ConfigurationError(
                f"expected block {grant.block!r} to keep its unit and data set {before}, got "
                f"{(grant.unit, grant.data_set)}"
            )

    def check_unit(self, blocks: tuple[str, ...], unit: str, adjacency: Adjacency) -> None:
        """Raise PrivacyError if the blocks' budgets are not of this unit and adjacency."""
        granted = {self.blocks[name].grant.unit for name in blocks}
        # Guarantee: divergences under different adjacencies add up to nothing that means anything.
        if granted != {unit} or adjacency is not _ADJACENCY[unit]:
            raise PrivacyError(
                f"the budget is of the unit {sorted(granted)}, got a release of {unit!r} "
                f"({adjacency})"
            )

    def check_request(self, release: Release) -> None:
        """Raise PrivacyError on blocks without a budget, another unit, or another plan."""
        blocks = self._blocks_of(release)
        if not blocks or any(name not in self.blocks for name in blocks):
            raise PrivacyError(
                f"expected blocks with a budget {sorted(self.blocks)}, got {list(blocks)}"
            )
        self.check_unit(blocks, release.unit, release.adjacency)
        before = self.plans.get((release.server, release.run_id), release.plan_digest)
        if before != release.plan_digest:
            raise PrivacyError(
                f"the run began with the plan {before[:12]}, got {release.plan_digest[:12]}"
            )

    def _blocks_of(self, release: Release) -> tuple[str, ...]:
        return release.blocks or tuple(sorted(self.blocks))

    def _check_separation(self, release: Release, now: float) -> None:
        blocks = self._blocks_of(release)
        last = self.last.get((release.server, release.kind))
        wanted = max(self.blocks[name].grant.min_separation_s for name in blocks)
        if last is not None and not now - last >= wanted:
            raise PrivacyError(
                f"expected at least {wanted:g} s between two releases of kind {release.kind!r}"
            )


def key_of(entry: Mapping[str, Any]) -> Key:
    """Of an entry that reserves or commits."""
    server, run_id, kind, number, attempt = entry["key"]
    return intern(server), intern(run_id), intern(kind), number, attempt


def _digest(name: Key | str) -> bytes:
    return hashlib.sha256(json.dumps(name).encode()).digest()


def charged(release: Release, before: frozenset[int]) -> dp.DpEvent:
    """What `release` exposes a site to that trained in the rounds `before` of the same run.

    Raises:
        PrivacyError: a participation on which the accounting does not rest.
    """
    if release.participation is None:
        return release.event
    release.participation.check(before, release.round_number)
    # Guarantee: the first participation pays for the whole run. The site cannot know whether an
    # attempt at a round came to something, so another one counts as a second release of its row.
    if release.round_number in before:
        return release.participation.repeat
    return dp.NoOpDpEvent() if before else release.event
