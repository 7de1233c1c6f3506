"""Runs over the internal port: the contract with Flower's Control API, and what it refuses."""

import inspect
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from flwr.common.constant import Status, SubStatus
from flwr.superlink.runtime import run_serverapp

from server.run_control import _RAISED, RunControl, SubmittedRun
from shared.config import Scalar
from shared.errors import FederationError, StateError
from tests.client.made_sites import made_bundle
from tests.server.served import served

NAMED: dict[str, Scalar] = {
    "output.run_id": "mine", "rounds": 7, "seed": 3, "privacy.delta": 1e-6, "output.resume": True,
}  # fmt: skip


@pytest.fixture
def control(tmp_path: Path) -> Iterator[RunControl]:
    """Of a server that serves."""
    with served(tmp_path) as server:
        yield RunControl(int(server.internal.rpartition(":")[2]))


def test_a_run_is_submitted_listed_and_stopped(control: RunControl) -> None:
    """Its settings of every type arrive; a run that ended is not stopped again."""
    number = control.start(made_bundle(), NAMED)
    (found,) = control.runs()
    assert found == control.run(number) == SubmittedRun(number, "mine", "pending", "")
    assert not found.over
    assert not found.stopped
    control.stop(number)
    after = control.run(number)
    assert after.status == f"{Status.FINISHED}:{SubStatus.STOPPED}"
    assert after.over
    assert after.stopped
    with pytest.raises(FederationError, match="stop-run"):
        control.stop(number)
    second = control.start(made_bundle(), NAMED | {"output.run_id": "other"})
    assert [run.number for run in control.runs()] == [number, second]


def test_what_flower_refuses_is_an_error(control: RunControl) -> None:
    """An unknown setting, an unknown run, no bundle."""
    with pytest.raises(FederationError, match="start-run"):
        control.start(made_bundle(), {"no.such.key": 1})
    with pytest.raises(FederationError, match="start-run"):
        control.start(b"no bundle", {})
    with pytest.raises(FederationError, match="list-runs"):
        control.run("17")


def test_a_service_that_is_gone_or_another_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as a run's failure."""
    with pytest.raises(StateError, match="does not answer"):
        RunControl(1).runs()
    with served(tmp_path) as server:
        port = int(server.internal.rpartition(":")[2])
        monkeypatch.setattr("server.run_control._PATH", "/murmura/status?")
        with pytest.raises(FederationError, match="HTTP 4"):
            RunControl(port).runs()


@pytest.mark.parametrize(
    ("details", "raised"),
    [
        (f"{_RAISED}BudgetExhausted: too: much", ("BudgetExhausted", "too: much")),
        ("No heartbeat received from the task", ("", "No heartbeat received from the task")),
        (f"{_RAISED}two words: x", ("", "ServerApp failed with exception: two words: x")),
        ("", ("", "")),
    ],
)
def test_what_the_server_s_part_raised_is_read_from_flowers_details(
    details: str, raised: tuple[str, str]
) -> None:
    """As server/app.py words it and Flower keeps it."""
    assert SubmittedRun("1", "mine", "finished:failed", details).raised == raised


def test_flower_still_keeps_the_text_of_an_exception_so() -> None:
    """A new wording would lose the class of a refusal."""
    source = inspect.getsource(run_serverapp)
    assert json.dumps(f"{_RAISED}{{str(ex)}}") in source
