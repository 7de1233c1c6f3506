"""The command as scripts and people meet it: exit statuses, errors, JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from murmura.cli import app, main
from shared import errors
from tests.murmura.conftest import Command, PretendedFederation
from tests.murmura.scripted import summary

ROOT = Path(__file__).parents[2]


def test_a_run_that_ends_well_exits_with_0(
    murmura: Command, federation: PretendedFederation
) -> None:
    """And has run."""
    assert murmura("simulate", "--task", "digits") == 0
    assert federation.raw is not None


@pytest.mark.parametrize(
    ("failure", "code", "kind"),
    [
        (errors.ConfigurationError("no such model"), 2, "configuration"),
        (errors.BudgetExhausted("the plan spends 9 of 8"), 3, "privacy"),
        (errors.TooFewSurvivors("2 of 20 answered"), 4, "federation"),
        (errors.DataError("no data"), 5, "data"),
        (errors.StateError("corrupt checkpoint"), 5, "state"),
        (OSError(28, "No space left on device"), 5, "files"),
    ],
)
def test_every_failure_is_one_line_a_status_and_with_json_an_object(
    murmura: Command,
    federation: PretendedFederation,
    capsys: pytest.CaptureFixture[str],
    failure: Exception,
    code: int,
    kind: str,
) -> None:
    """stderr for people, the last line of stdout for programs; no traceback."""
    federation.failure = failure
    assert murmura("simulate", "--quiet", "--json") == code
    out, err = capsys.readouterr()
    assert err.splitlines()[0] == f"error: {failure}"
    assert "Traceback" not in err
    assert json.loads(out.splitlines()[-1]) == {"error": str(failure), "kind": kind, "code": code}


def test_debug_adds_the_traceback_and_keeps_the_line(
    murmura: Command, federation: PretendedFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one line stays the last but for the notes."""
    federation.failure = errors.DataError("no data")
    assert murmura("simulate", "--quiet", "--debug") == 5
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert "\nerror: no data\n" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["simulate", "--foo"], "error: No such option"),
        (["simulate", "--rounds", "many"], "error: Invalid value for '--rounds'"),
        (["simulate", "-c", "traning.steps=2"], "did you mean training.steps?"),
        (["simulate", "--seed", "-1"], "error: seed must be 'os' or a whole number >= 0, got -1"),
        (["simulate", "--config", "gone.toml"], "error: cannot read the settings file gone.toml"),
        (["simulat"], "Did you mean 'simulate'?"),
        (["simulate", "-c", "output.resume=true"], "output.resume is set by --resume"),
    ],
)
def test_wrong_use_exits_with_2_before_anything_runs(
    murmura: Command,
    federation: PretendedFederation,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    """With what was probably meant, in one line."""
    assert murmura(*arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert len(err.splitlines()) == 1
    assert federation.raw is None


def test_wrong_use_is_an_object_too_with_json(
    murmura: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Although the arguments could not be parsed."""
    assert murmura("simulate", "--json", "--foo") == 2
    assert json.loads(capsys.readouterr().out)["kind"] == "usage"


def test_with_json_the_last_line_of_stdout_is_the_summary_and_nothing_else_is(
    murmura: Command, federation: PretendedFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Progress goes to stderr, in plain lines."""
    assert murmura("simulate", "--json") == 0
    assert federation.raw is not None
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert json.loads(out) == summary()
    assert "round 2/60: asked 20" in err


def test_quiet_json_says_only_the_object(
    murmura: Command, federation: PretendedFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing on stderr."""
    assert murmura("simulate", "--json", "--quiet") == 0
    assert federation.raw is not None
    out, err = capsys.readouterr()
    assert json.loads(out) == summary()
    assert err == ""


def test_quiet_says_nothing(
    murmura: Command, federation: PretendedFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit status is enough."""
    assert murmura("simulate", "--quiet") == 0
    assert federation.raw is not None
    assert capsys.readouterr() == ("", "")


def test_a_pipe_gets_plain_lines_and_then_the_summary(
    murmura: Command, federation: PretendedFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """No control sequences."""
    assert murmura("simulate", "--task", "digits") == 0
    assert federation.raw is not None
    out = capsys.readouterr().out
    assert out.index("round 1/60") < out.index("round 2/60") < out.index("server, sees each")
    assert "\x1b" not in out


def test_help_names_every_option_and_shows_examples() -> None:
    """Pleasant, and complete; without a verb the verbs are shown."""
    runner = CliRunner(env={"COLUMNS": "120", "TERM": "dumb"})
    text = runner.invoke(app, ["simulate", "--help"]).stdout
    for option in ("--config", "--set", "--resume", "--list-keys", "--json", "--seed", "--device"):
        assert option in text
    assert "murmura simulate --rounds 20" in text
    assert "0 done, 2 wrong settings" in text
    assert "simulate" in runner.invoke(app, []).stdout


def test_version_says_what_results_depend_on(
    murmura: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One library a line; one that is missing is said to be."""
    monkeypatch.setattr("murmura.cli._LIBRARIES", ("numpy", "no-such-library"))
    assert murmura("version") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("murmura ")
    assert lines[2].startswith("numpy ")
    assert lines[3] == "no-such-library not installed"


def test_list_keys_runs_nothing(
    murmura: Command, federation: PretendedFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every key with its default."""
    assert murmura("simulate", "--list-keys") == 0
    assert "privacy.noise_multiplier" in capsys.readouterr().out
    assert federation.raw is None


def test_a_defect_is_one_line_too(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    federation: PretendedFederation,
) -> None:
    """Python prints it by the hook and exits with 1; the line says how to see more."""
    monkeypatch.setattr(sys, "argv", ["murmura", "simulate", "--quiet", "--json"])
    federation.failure = KeyError("surprise")
    with pytest.raises(KeyError) as caught:
        main()
    sys.excepthook(caught.type, caught.value, caught.tb)
    out, err = capsys.readouterr()
    assert err.splitlines()[0] == "error: KeyError: 'surprise'"
    assert "--debug" in err.splitlines()[1]
    assert json.loads(out)["kind"] == "defect"


def python(code: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `code` in a process of its own."""
    return subprocess.run(  # noqa: S603 - this interpreter, our own code
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_needs_neither_torch_nor_flower() -> None:
    """So that it is there at once."""
    done = python(
        "import sys; from murmura.cli import main; main(['simulate', '--help']);"
        "assert not {'torch', 'flwr', 'opacus', 'numpy'} & sys.modules.keys()"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_output_that_knows_only_ascii_still_gets_help() -> None:
    """Whatever cannot be shown is replaced."""
    done = python(
        "import sys; from murmura.cli import main; sys.exit(main(['simulate', '--help']))",
        PYTHONIOENCODING="ascii",
        NO_COLOR="1",
    )
    assert done.returncode == 0
    assert "--resume" in done.stdout


def test_a_process_exits_with_the_command_s_status() -> None:
    """As the installed script does it."""
    done = python(
        "import sys; from murmura.cli import main; sys.exit(main(['simulate', '-c', 'x']))"
    )
    assert done.returncode == 2
    assert done.stderr == "error: -c expects KEY=VALUE, got 'x'\n"
