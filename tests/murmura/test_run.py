"""`murmura run`: what is checked before anything is sent, how a run is followed, how it ends."""

import json
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from murmura.exit_codes import ExitCode
from server.app_key import public_hex, read_app_key
from server.run_folder import RunFolder
from shared.app_signatures import bundle_content, is_signed
from shared.errors import (
    BudgetExhausted,
    ConfigurationError,
    FederationError,
    TooFewSurvivors,
)
from tests.murmura.conftest import Command
from tests.murmura.pretended_service import (
    NODE,
    NUMBER,
    Pretended,
    PretendedControl,
    pretended,
    until,
)
from tests.murmura.scripted import summary

MINE = ("-c", "output.run_id=mine", "--task", "digits", "--rounds", "3")
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pretended:
    """Two sites that are online."""
    return pretended(tmp_path, monkeypatch)


def test_a_run_is_signed_submitted_followed_and_told(
    murmura: Command, service: Pretended, capsys: Captured
) -> None:
    """As many clients as sites; its folder in the home; progress on stderr, its result as JSON."""
    assert murmura("run", *MINE, "--json") == ExitCode.OK
    (asked,) = service.submitted.values()
    (bundle,) = service.bundles
    signature = str(asked["output.bundle_signature"])
    assert is_signed(bundle_content(bundle), signature, public_hex(read_app_key(service.home)))
    assert (asked["population.size"], asked["rounds"]) == (2, 3)
    assert asked["output.dir"] == str(service.home.runs)
    origins = json.loads(str(asked["output.origins"]))
    assert origins["population.size"] == "sites that have joined"
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["rounds"] == summary()["rounds"]
    assert "2 of 2 sites online: site-a, site-b" in err
    assert f"Flower's number {NUMBER}" in err
    assert "round 1/3" in err


def test_a_detached_run_is_only_submitted(
    murmura: Command, service: Pretended, capsys: Captured
) -> None:
    """Its name and number are all there is to say."""
    service.lingers = True
    assert murmura("run", *MINE, "--detach", "--json") == ExitCode.OK
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "run": "mine",
        "number": str(NUMBER),
        "run_folder": str(service.home.runs / "mine"),
    }
    service.stopped.set()
    until(lambda: not RunFolder(service.home.runs / "mine").is_held())
    assert murmura("run", "--sites", "2", "--quiet", "--detach") == ExitCode.OK
    assert "fashion_mnist" in capsys.readouterr().out


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (["-c", "rouds=3"], ExitCode.CONFIGURATION, "rouds"),
        (["--rounds", "0"], ExitCode.CONFIGURATION, "rounds"),
        (["-c", "privacy.epsilon_budget=0.01"], ExitCode.PRIVACY, "epsilon"),
        (["-c", "output.resume=true"], ExitCode.CONFIGURATION, "--resume"),
        (["-c", "output.run_id=../x"], ExitCode.CONFIGURATION, "without folders"),
        (["--task", "my_task:MyTask"], ExitCode.CONFIGURATION, "--app"),
        (["--sites", "3"], ExitCode.CONFIGURATION, "got 2 that have joined"),
        (["--sites", "1"], ExitCode.CONFIGURATION, "room for 1"),
        (["--resume", "mine"], ExitCode.CONFIGURATION, "settings the run was started with"),
        (["-c", "server.aggregation=median"], ExitCode.CONFIGURATION, "median"),
        (["-c", "data.dir=nowhere"], ExitCode.CONFIGURATION, "data.dir must be a folder here, got"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_sent(
    murmura: Command,
    service: Pretended,
    capsys: Captured,
    words: list[str],
    status: ExitCode,
    why: str,
) -> None:
    """With the exit status of its kind."""
    assert murmura("run", *MINE, *words) == status
    assert why in capsys.readouterr().err
    assert not service.submitted


def test_a_folder_of_data_is_named_wholly(
    murmura: Command, service: Pretended, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's process works in another folder than the one in which it was typed."""
    (tmp_path / "public").mkdir()
    monkeypatch.chdir(tmp_path)
    assert murmura("run", *MINE, "-q", "-c", "data.dir=public") == ExitCode.OK
    (asked,) = service.submitted.values()
    assert asked["data.dir"] == str(tmp_path / "public")


def test_sites_that_are_away_are_named_and_waited_for_in_vain(
    murmura: Command, service: Pretended, capsys: Captured
) -> None:
    """No run without the population of its plan; fewer are enough where the plan says so."""
    service.sites["site-c"] = False
    assert murmura("run", *MINE, "--wait", "0.3") == ExitCode.FEDERATION
    err = capsys.readouterr().err
    assert "2 of 3 sites online: site-a, site-b; not online: site-c" in err
    assert "expected 3 sites online within 0.3 s, got 2" in err
    assert not service.submitted
    assert murmura("run", *MINE, "-q", "-c", "cohort.present_at_start=0.6") == ExitCode.OK
    service.sites.clear()
    assert murmura("run", *MINE) == ExitCode.CONFIGURATION
    assert "a site that has joined" in capsys.readouterr().err


def test_without_a_service_it_says_how_to_start_one(
    murmura: Command, service: Pretended, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Nothing else is tried."""
    monkeypatch.setattr("murmura.submitting.facts_of", lambda _home: None)
    assert murmura("run", *MINE) == ExitCode.DATA
    assert "murmura server start" in capsys.readouterr().err
    assert not service.submitted


@pytest.mark.parametrize(
    ("failure", "status", "hint"),
    [
        (BudgetExhausted("the next round would spend 8.1 of 8"), ExitCode.PRIVACY, False),
        (TooFewSurvivors("1 of 3 answered"), ExitCode.FEDERATION, True),
    ],
)
def test_what_ends_a_run_over_there_ends_the_command(
    murmura: Command,
    service: Pretended,
    capsys: Captured,
    failure: FederationError,
    status: ExitCode,
    hint: bool,
) -> None:
    """Text, exit status and whether it can go on are those of its class."""
    service.failure = failure
    assert murmura("run", *MINE, "-q") == status
    err = capsys.readouterr().err
    assert err.splitlines()[0] == f"error: {failure}"
    assert (f"murmura run --home {service.home.root} --resume mine" in err) == hint


@pytest.mark.parametrize(
    ("details", "status", "why"),
    [
        (
            "ServerApp failed with exception: DataError: no images",
            ExitCode.DATA,
            "error: no images",
        ),
        ("No heartbeat", ExitCode.FEDERATION, "error: the server's part of the run failed: No hea"),
    ],
)
def test_a_run_that_never_had_a_folder_is_explained_by_flower(
    murmura: Command, service: Pretended, capsys: Captured, details: str, status: ExitCode, why: str
) -> None:
    """By class and text where there are some."""
    service.refused = details
    assert murmura("run", *MINE, "-q") == status
    assert why in capsys.readouterr().err


def test_a_process_that_died_or_was_stopped_is_noticed_at_once(
    murmura: Command, service: Pretended, capsys: Captured
) -> None:
    """It lets its folder go; a service that is gone, too."""
    service.dies = True
    assert murmura("run", *MINE, "-q") == ExitCode.FEDERATION
    assert "the process of the run has died" in capsys.readouterr().err
    assert service.stopped.is_set()  # Flower would wait for it a minute
    service.reached = lambda: setattr(service, "gone", True)
    assert murmura("run", "--task", "digits", "-q") == ExitCode.FEDERATION
    assert "the service has ended, and the run with it" in capsys.readouterr().err


def test_sites_that_refuse_are_named(
    murmura: Command, service: Pretended, capsys: Captured
) -> None:
    """By the names that the operator gave them, now and later; Flower's numbers say nothing."""
    why = f"got 0; without node {NODE}: PolicyRefused; node {NODE + 1}: no answer; node {NODE}1: x"
    service.failure = ConfigurationError(why)
    assert murmura("run", *MINE, "-q") == ExitCode.CONFIGURATION
    named = f"got 0; without site-a: PolicyRefused; site-b: no answer; node {NODE}1: x"
    assert f"error: {named}\n" in capsys.readouterr().err
    assert murmura("runs", "show", "mine") == 0
    assert named in capsys.readouterr().out


@pytest.mark.parametrize("failure", [None, TooFewSurvivors("0 of 3 answered")])
def test_a_run_that_somebody_else_stopped_says_so(
    murmura: Command, service: Pretended, capsys: Captured, failure: FederationError | None
) -> None:
    """With how to go on; whatever its process raised when it lost the service."""
    service.lingers, service.failure = True, failure
    service.reached = lambda: service.control(1).stop(str(NUMBER))
    assert murmura("run", *MINE, "-q") == ExitCode.FEDERATION
    err = capsys.readouterr().err
    assert err.startswith("error: the run was stopped\nto go on: ")
    assert murmura("runs", "show", "mine", "--json") == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["status"] == "stopped"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_and_says_how_to_go_on(
    murmura: Command, service: Pretended, capsys: Captured, number: signal.Signals
) -> None:
    """The process over there has ended when the command does."""
    service.lingers = True
    service.reached = lambda: os.kill(os.getpid(), number)
    assert murmura("run", *MINE, "-q") == 128 + number
    assert service.stopped.is_set()
    assert not RunFolder(service.home.runs / "mine").is_held()
    assert "to go on: murmura run" in capsys.readouterr().err


def test_a_signal_while_sites_are_waited_for_ends_the_command(
    murmura: Command, service: Pretended, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was sent, and there is nothing to go on with."""
    service.sites["site-c"] = False
    signalled = SimpleNamespace(
        monotonic=time.monotonic, sleep=lambda _seconds: os.kill(os.getpid(), signal.SIGINT)
    )
    monkeypatch.setattr("murmura.submitting.time", signalled)
    assert murmura("run", *MINE, "-q") == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == "stopped by SIGINT\n"
    assert not service.submitted


def test_a_signal_while_a_run_is_submitted_stops_that_run(
    murmura: Command, service: Pretended, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number is not known yet; its name is."""
    service.lingers = True
    start = PretendedControl.start

    def interrupted(control: PretendedControl, *arguments: Any) -> str:
        number = start(control, *arguments)
        os.kill(os.getpid(), signal.SIGTERM)
        return number

    monkeypatch.setattr(PretendedControl, "start", interrupted)
    assert murmura("run", *MINE, "-q") == ExitCode.TERMINATED
    assert service.stopped.is_set()


def test_a_run_goes_on_with_its_own_settings(
    murmura: Command, service: Pretended, capsys: Captured
) -> None:
    """By its name, its number or its folder; not while it goes on, nor when it is finished."""
    service.dies = True
    assert murmura("run", *MINE, "-q") == ExitCode.FEDERATION
    service.dies = False
    assert murmura("run", "--resume", str(NUMBER), "-q") == ExitCode.OK
    before, after = service.submitted.values()
    assert after["output.resume"] is True
    assert after["rounds"] == before["rounds"]
    assert murmura("run", "--resume", str(service.home.runs / "mine")) == ExitCode.DATA
    assert "finished" in capsys.readouterr().err
    (service.home.runs / "mine" / "summary.json").unlink()
    with RunFolder(service.home.runs / "mine").held():
        assert murmura("run", "--resume", "mine") == ExitCode.DATA
    assert "under way" in capsys.readouterr().err
    assert murmura("run", "--resume", "nobody") == ExitCode.DATA
    assert murmura("run", *MINE) == ExitCode.CONFIGURATION
    assert "murmura run --resume mine" in capsys.readouterr().err


def test_a_task_of_ones_own_is_told_by_its_hash(
    murmura: Command, service: Pretended, tmp_path: Path, capsys: Captured
) -> None:
    """Each site's operator needs it."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "my_task.py").write_text("")
    words = ("--app", tmp_path / "app", "--task", "my_task:MyTask")
    assert murmura("run", *MINE, *words) == ExitCode.OK
    digest = bundle_content(service.bundles[0])["sha256"]
    assert f"murmura client approve {digest}" in capsys.readouterr().err
