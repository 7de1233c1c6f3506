"""`murmura report`: one report, many forms, and a check."""

import json
from pathlib import Path

import pytest

from server.report.forms import FORMS
from tests.murmura.conftest import Command
from tests.server.report.reports import report


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder with a report and its page."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(report()))
    (folder / "report.html").write_text("<!DOCTYPE html>")
    return folder


@pytest.mark.no_cover
@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_printed_or_written(
    murmura: Command, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """The same text either way; without a verb it is shown."""
    assert murmura("report", run, "--format", form) == 0
    printed = capsys.readouterr().out
    page = f"page: {run / 'report.html'}\n" if form == "terminal" else ""
    assert printed == FORMS[form](report()) + page
    out = tmp_path / "out"
    assert murmura("report", "show", run, "--format", form, "--out", out) == 0
    assert out.read_text() == FORMS[form](report())


def test_the_terminal_is_the_default(
    murmura: Command, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verdict first."""
    assert murmura("report", run) == 0
    assert capsys.readouterr().out.startswith("Guaranteed, on assumptions: ")


def test_the_page_is_opened(
    murmura: Command, run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where there is one."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert murmura("report", run, "--open") == 0
    assert opened == [(run / "report.html").resolve().as_uri()]
    (run / "report.html").unlink()
    assert murmura("report", run, "--open") == 5
    assert "no report.html" in capsys.readouterr().err


def test_a_place_without_a_report_is_said(
    murmura: Command, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 5; so is one that cannot be written."""
    assert murmura("report", tmp_path / "none") == 5
    assert "expected a report" in capsys.readouterr().err
    assert murmura("report", run, "--out", tmp_path) == 5
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.no_cover
@pytest.mark.parametrize("machine", [(), ("--json",)])
def test_a_report_that_its_charges_do_not_confirm_exits_with_3(
    murmura: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    machine: tuple[str, ...],
) -> None:
    """And with 0 before it was changed; each difference is named."""
    from simulations.federation import simulate
    from tests.server.report.runs import RUN

    run = simulate(RUN | {"output.dir": str(tmp_path)})
    assert murmura("report", "verify", run, *machine) == 0
    assert "confirmed" in capsys.readouterr().out
    path = run / "report.json"
    path.write_text(path.read_text().replace('"rounds_done": 4', '"rounds_done": 5'))
    assert murmura("report", "verify", run, *machine) == 3
    told = capsys.readouterr()
    assert "run.rounds_done" in told.out
    assert "differences" in told.err


def test_help_shows_both_verbs(murmura: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """And how to leave the verb out."""
    assert murmura("report", "--help") == 0
    out = capsys.readouterr().out
    assert "verify" in out
    assert "murmura report runs/ID" in out
