"""What a ledger's entries add up to: budgets, what each block and server spent, what was asked."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from shared.dp.renyi import NOTHING, Cost, RenyiBudget, added
from shared.errors import ConfigurationError, PrivacyError, StateError

Key = tuple[str, str, str, int, int]


@dataclass(frozen=True, slots=True)
class Block:
    """Budget of some records: the grant, one server's share of it, seconds between releases."""

    budget: RenyiBudget
    quota: float
    min_separation_s: float

    @classmethod
    def of(cls, epsilon: float, delta: float, quota: float, min_separation_s: float) -> "Block":
        """The block of these numbers. Raises ConfigurationError outside their domains."""
        if not 0.0 < quota <= 1.0:
            raise ConfigurationError(f"quota must be in (0, 1], got {quota!r}")
        if not (math.isfinite(min_separation_s) and min_separation_s >= 0.0):
            raise ConfigurationError(
                f"min_separation_s must be at least 0, got {min_separation_s!r}"
            )
        return cls(RenyiBudget(epsilon, delta), quota, min_separation_s)


def budget_body(name: str, block: Block) -> dict[str, Any]:
    """The entry that grants `block`."""
    if not name:
        raise ConfigurationError("expected a name for the block, got none")
    return {
        "entry": "set_budget",
        "block": name,
        "epsilon": block.budget.epsilon,
        "delta": block.budget.delta,
        "quota": block.quota,
        "min_separation_s": block.min_separation_s,
    }


@dataclass(slots=True)
class LedgerState:
    """Built by applying entries in order; nothing else changes it."""

    blocks: dict[str, Block] = field(default_factory=dict)
    reserved: dict[Key, Mapping[str, Any]] = field(default_factory=dict)
    committed: dict[Key, str] = field(default_factory=dict)
    plans: dict[tuple[str, str], str] = field(default_factory=dict)
    _spent: dict[str, Cost] = field(default_factory=dict)
    _spent_by: dict[tuple[str, str], Cost] = field(default_factory=dict)
    _latest: dict[str, float] = field(default_factory=dict)

    def apply(self, body: Mapping[str, Any]) -> None:
        """Take one more entry into account. Raises StateError if this code does not know it."""
        kinds = {"set_budget": self._grant, "reserve": self._charge, "commit": self._commit}
        try:
            kinds[body["entry"]](body)
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(
                "expected ledger entries of this version of murmura, got one of another"
            ) from error

    def admits(self, block: str, server: str, cost: Cost) -> bool:
        """Whether `cost` fits the block's budget, and the server's quota of it."""
        granted = self.blocks[block]
        own = self._spent_by.get((block, server), NOTHING)
        return granted.budget.admits(self._spent[block], cost) and granted.budget.admits(
            own, cost, share=Fraction(granted.quota)
        )

    def check_separation(self, blocks: Iterable[str], now: float) -> None:
        """Raise PrivacyError if a block was asked too recently, or the clock went back."""
        for name in blocks:
            least = self.blocks[name].min_separation_s
            if least and now - self._latest.get(name, -math.inf) < least:
                raise PrivacyError(f"expected {least:g} s between two releases, got less")

    def epsilon_of(self, block: str) -> float:
        """Epsilon that the block has spent at its delta, rounded up."""
        return self.blocks[block].budget.epsilon_of(self._spent[block])

    def rounds_left(self, block: str, cost: Cost) -> int:
        """How many more releases of `cost` the block's budget admits."""
        return self.blocks[block].budget.rounds_left(self._spent[block], cost)

    def _grant(self, body: Mapping[str, Any]) -> None:
        numbers = (body["epsilon"], body["delta"], body["quota"], body["min_separation_s"])
        self.blocks[body["block"]] = Block.of(*numbers)
        self._spent.setdefault(body["block"], NOTHING)

    def _charge(self, body: Mapping[str, Any]) -> None:
        server, cost = body["server"], tuple(body["cost"])
        for block in body["blocks"]:
            self._spent[block] = added(self._spent[block], cost)
            owed = self._spent_by.get((block, server), NOTHING)
            self._spent_by[block, server] = added(owed, cost)
            self._latest[block] = body["time"]
        self.reserved[_key(body)] = body["event"]
        self.plans[server, body["run_id"]] = body["plan_digest"]

    def _commit(self, body: Mapping[str, Any]) -> None:
        self.committed[_key(body)] = body["reply"]


def _key(body: Mapping[str, Any]) -> Key:
    return body["server"], body["run_id"], body["kind"], body["round_number"], body["attempt"]
