"""A small ledger and releases for it."""

from pathlib import Path

from dp_accounting import dp_event as dp

from client.ledger import Ledger
from client.ledger_state import Grant, Release
from shared.dp.mechanisms import Adjacency

ONE = dp.GaussianDpEvent(2.0)


def grant(**changes: object) -> Grant:
    """Epsilon 8 at record level."""
    values: dict[str, object] = {
        "data_set": "x-rays", "block": "all", "unit": "record", "epsilon": 8.0, "delta": 1e-5,
    }  # fmt: skip
    return Grant(**(values | changes))  # type: ignore[arg-type]


def release(number: int = 1, **changes: object) -> Release:
    """Round `number` of one run."""
    values: dict[str, object] = {
        "server": "server", "run_id": "run", "kind": "train", "round_number": number,
        "attempt": 1, "plan_digest": "ab" * 32, "event": ONE, "unit": "record",
        "adjacency": Adjacency.ADD_OR_REMOVE_ONE,
    }  # fmt: skip
    return Release(**(values | changes))  # type: ignore[arg-type]


def created(folder: Path, **changes: object) -> Ledger:
    """A new ledger in `folder`/ledger."""
    return Ledger.create(folder / "ledger", grant(**changes))


def opened(folder: Path) -> Ledger:
    """The ledger in `folder`/ledger."""
    return Ledger(folder / "ledger")
