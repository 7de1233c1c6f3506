"""A run from its settings to what is told at the end, and how it is stopped."""

import json
import signal
import sys
from pathlib import Path

import pytest

from murmura.running import device_words, read_summary, resume_command
from shared.config import RunConfig
from shared.errors import BudgetExhausted, StateError, TooFewSurvivors
from tests.murmura.conftest import Command, PretendedFederation


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_where_it_stands_and_how_to_go_on(
    murmura: Command,
    federation: PretendedFederation,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    code: int,
) -> None:
    """No traceback; the command can be pasted; the handlers are set back."""
    before = signal.getsignal(number)
    federation.signal_number = number
    assert murmura("simulate", "--quiet", "--run-id", "my run") == code
    assert capsys.readouterr().err.splitlines() == [
        f"stopped by {number.name} after round 2 of 60",
        "to go on: murmura simulate --resume 'runs/my run'",
    ]
    assert signal.getsignal(number) is before


def test_a_signal_with_json_leaves_an_object(
    murmura: Command, federation: PretendedFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program learns of it too."""
    federation.signal_number = signal.SIGTERM
    assert murmura("simulate", "--quiet", "--json") == 143
    assert json.loads(capsys.readouterr().out)["kind"] == "interrupted"


def test_a_run_that_never_started_is_not_said_to_be_resumable(
    murmura: Command, federation: PretendedFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing would be gained."""
    federation.starts = False
    federation.signal_number = signal.SIGINT
    assert murmura("simulate", "--quiet") == 130
    assert capsys.readouterr().err == "stopped by SIGINT\n"


def test_a_failed_federation_says_how_to_go_on_too(
    murmura: Command, federation: PretendedFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """More clients may answer tomorrow."""
    federation.failure = TooFewSurvivors("1 of 20 answered")
    assert murmura("simulate", "--quiet", "--run-id", "mine") == 4
    assert capsys.readouterr().err.splitlines() == [
        "error: 1 of 20 answered",
        "to go on: murmura simulate --resume runs/mine",
    ]


def test_what_was_refused_is_not_said_to_be_resumable(
    murmura: Command, federation: PretendedFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be refused again."""
    federation.failure = BudgetExhausted("the next round would spend 8.1 of 8")
    assert murmura("simulate", "--quiet") == 3
    assert capsys.readouterr().err == "error: the next round would spend 8.1 of 8\n"


def test_a_task_may_lie_in_the_current_folder_but_never_goes_before_ours(
    murmura: Command, federation: PretendedFederation
) -> None:
    """`module:object` is found; a folder called `server` there shadows nothing."""
    assert murmura("simulate", "--quiet") == 0
    assert federation.raw is not None
    assert sys.path[-1] == str(Path.cwd())


@pytest.mark.parametrize("content", [None, "", "[]"])
def test_a_run_without_a_result_is_no_success(
    murmura: Command,
    federation: PretendedFederation,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
) -> None:
    """Missing or corrupt: status 5."""
    federation.leaves = {} if content is None else {"summary.json": content}
    assert murmura("simulate", "--quiet") == 5
    assert "summary.json" in capsys.readouterr().err


def test_a_summary_s_infinities_stay_valid_json(tmp_path: Path) -> None:
    """Python would write a word that JSON does not know."""
    (tmp_path / "summary.json").write_text('{"epsilon": Infinity}')
    assert json.dumps(read_summary(tmp_path), allow_nan=False) == '{"epsilon": "Infinity"}'


def test_a_summary_that_is_not_there_is_a_state_error(tmp_path: Path) -> None:
    """Named by its path."""
    with pytest.raises(StateError, match=r"summary.json"):
        read_summary(tmp_path)


def test_the_command_to_resume_can_be_pasted() -> None:
    """Quoted where a shell needs it."""
    assert resume_command(Path("a b")) == "murmura simulate --resume 'a b'"


def test_the_device_is_named_as_it_was_chosen() -> None:
    """What "auto" became."""
    config = RunConfig.from_run_config({"runtime.device": "cpu"})
    assert device_words(config) == "cpu"
    several = RunConfig.from_run_config({"runtime.device": "cpu,cpu"})
    assert device_words(several) == "cpu, cpu"
