"""`murmura runs`: which runs there are, how they stand, and their end."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer

from murmura import run_names
from murmura.board import meaning_of
from murmura.cli import app
from murmura.exit_codes import ExitCode
from server.run_control import SubmittedRun
from server.run_folder import RunFolder
from shared.errors import TooFewSurvivors
from tests.murmura.conftest import Command
from tests.murmura.pretended_service import NUMBER, Pretended, pretended, until
from tests.murmura.scripted import started, summary
from tests.test_packaging import ROOT

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pretended:
    """Two sites that are online."""
    return pretended(tmp_path, monkeypatch)


def run(murmura: Command, name: str, *words: str) -> int:
    """A run of that name."""
    return murmura("run", "-c", f"output.run_id={name}", "--task", "digits", "-q", *words)


def told(capsys: Captured) -> Mapping[str, Any]:
    """What was printed last."""
    content: Mapping[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return content


def test_runs_are_listed_by_what_became_of_them(
    murmura: Command, service: Pretended, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From their folders, also where no service runs; from Flower where they had none yet."""
    run(murmura, "done")
    service.failure = TooFewSurvivors("1 of 3")
    run(murmura, "failed")
    service.failure, service.refused = None, "ServerApp failed with exception: DataError: none"
    run(murmura, "refused")
    service.refused = ""
    service.runs["9"] = SubmittedRun("9", "", "pending", "")
    service.runs["8"] = SubmittedRun("8", "never", "finished:stopped", "")
    capsys.readouterr()
    assert murmura("runs", "list", "--json") == ExitCode.OK
    listed = {entry["run"]: entry for entry in told(capsys)["runs"]}
    assert {name: entry["status"] for name, entry in listed.items()} == {
        "done": "finished", "failed": "failed", "refused": "failed", "9": "waiting",
        "never": "stopped",
    }  # fmt: skip
    assert listed["done"]["rounds_done"] == 1
    assert listed["done"]["number"] == str(NUMBER)
    assert listed["failed"]["why"] == "TooFewSurvivors: 1 of 3"
    assert listed["refused"]["why"] == "DataError: none"
    assert listed["refused"]["run_folder"] is None
    monkeypatch.setattr("server.local_client.facts_of", lambda _home: None)
    assert murmura("runs", "list") == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["done", "failed"]
    assert "finished, 1 of 3 rounds, epsilon" in lines[0]


def test_no_run_is_said(murmura: Command, service: Pretended, capsys: Captured) -> None:
    """Nothing printed could be a list that failed."""
    assert service.runs == {}
    assert murmura("runs", "list") == ExitCode.OK
    assert capsys.readouterr().out == "no run yet; `murmura run` starts one\n"


def test_one_run_is_shown_with_its_files_and_why_it_ended(
    murmura: Command, service: Pretended, capsys: Captured
) -> None:
    """By its name or Flower's number; an unknown one is an error."""
    service.failure = TooFewSurvivors("1 of 3")
    run(murmura, "mine")
    (service.home.runs / "mine" / "log.txt").write_text("")
    capsys.readouterr()
    assert murmura("runs", "show", str(NUMBER), "--json") == ExitCode.OK
    assert told(capsys)["files"] == {"log": str(service.home.runs / "mine" / "log.txt")}
    assert murmura("runs", "show", "mine") == ExitCode.OK
    out = capsys.readouterr().out
    assert "TooFewSurvivors: 1 of 3" in out
    assert "log.txt" in out
    assert murmura("runs", "show", "nobody") == ExitCode.DATA


def test_a_run_under_way_is_stopped_and_goes_on(
    murmura: Command, service: Pretended, capsys: Captured
) -> None:
    """Its process has ended when the command returns; what has ended is not stopped."""
    service.lingers = True
    folder = service.home.runs / "mine"
    assert run(murmura, "mine", "--detach") == ExitCode.OK
    until(lambda: (folder / "config.json").exists() and RunFolder(folder).is_held())
    capsys.readouterr()
    assert murmura("runs", "show", "mine", "--json") == ExitCode.OK
    assert told(capsys)["status"] == "under way"
    assert murmura("runs", "stop", "mine", "--json") == ExitCode.OK
    assert told(capsys) == {"run": "mine", "stopped": True}
    assert not RunFolder(folder).is_held()
    assert murmura("runs", "stop", "mine") == ExitCode.DATA
    service.lingers = False
    assert murmura("runs", "resume", "mine", "--json") == ExitCode.OK
    assert told(capsys)["rounds"] == summary()["rounds"]


def test_the_page_names_every_command_and_option() -> None:
    """docs/deployment.md, which tells of no other."""
    page = (ROOT / "docs" / "deployment.md").read_text()
    commands: Any = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert set(re.findall(r"^\| `murmura runs ([a-z]+)", page, flags=re.MULTILINE)) == set(
        commands["runs"].commands
    )
    options = {name for option in commands["run"].params for name in option.opts}
    section = page.partition("## Runs")[2].partition("## Ports")[0]
    named = set(re.findall(r"--[a-z]+", section))
    assert named <= options
    # How it prints is told for all commands; the home likewise.
    assert {o for o in options if o.startswith("--")} - named == {
        "--home", "--json", "--quiet", "--debug", "--set",
    }  # fmt: skip


def test_a_process_that_does_not_end_is_told(
    murmura: Command, service: Pretended, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """It may still be writing."""
    service.lingers = True
    run(murmura, "mine", "--detach")
    until(lambda: RunFolder(service.home.runs / "mine").is_held())
    monkeypatch.setattr("murmura.following._STOP_S", 0.1)
    monkeypatch.setattr(service.stopped, "set", lambda: None)
    assert murmura("runs", "stop", "mine") == ExitCode.DATA
    assert "has not ended" in capsys.readouterr().err
    monkeypatch.undo()
    service.stopped.set()


@pytest.mark.usefixtures("service")
def test_an_epsilon_is_told_with_what_it_is_of(
    murmura: Command, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delta, unit, adjacency and observers, for people and for machines."""
    run(murmura, "done")
    monkeypatch.setattr(run_names, "meaning_of", lambda _: meaning_of(started().planned_claims))
    capsys.readouterr()
    murmura("runs", "list")
    is_of = "at delta 1e-05 for one record, add or remove one, against holder of the final model"
    assert re.search(rf"epsilon [0-9.]+ {is_of}\n", capsys.readouterr().out)
    murmura("runs", "list", "--json")
    assert told(capsys)["runs"][0]["epsilon_is"] == is_of
