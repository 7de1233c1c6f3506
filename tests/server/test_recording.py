"""Every finished round has one line, whatever happened; logging is left as it was found."""

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from server.progress import RoundFinished
from server.recording import METRICS, Recorder, log_file
from server.run_folder import RunFolder
from shared.config import RunConfig
from shared.errors import StateError


def event(round_number: int, **changes: Any) -> RoundFinished:
    """One round."""
    numbers = {"loss": 0.5, "accuracy": 0.25 * round_number, "epsilon": 1.5, **changes}
    return RoundFinished(
        round_number=round_number, rounds=9, asked=3, answered=2, lost=1, epsilon_budget=8.0,
        seconds=0.25, **numbers,
    )  # fmt: skip


def recorder(folder: Path, first_round: int = 1, *, tensorboard: bool = False) -> Recorder:
    """A recorder that starts at `first_round`."""
    config = RunConfig.from_run_config({"output.tensorboard": tensorboard})
    return Recorder(RunFolder(folder), first_round=first_round, config=config)


def lines(folder: Path) -> list[dict[str, object]]:
    """What was recorded."""
    return [json.loads(line) for line in (folder / METRICS).read_text().splitlines()]


def test_a_round_is_one_line(tmp_path: Path) -> None:
    """With all its numbers."""
    recorder(tmp_path).record(event(1, bytes_down=300, bytes_up=200))
    assert lines(tmp_path) == [
        {"round": 1, "asked": 3, "answered": 2, "lost": 1, "loss": 0.5, "accuracy": 0.25,
         "private_loss": None, "private_accuracy": None, "epsilon": 1.5, "seconds": 0.25,
         "rejected": 0, "quarantined": [], "bytes_down": 300, "bytes_up": 200, "metrics": {}}
    ]  # fmt: skip


def test_all_metrics_of_a_task_are_recorded(tmp_path: Path) -> None:
    """Also those of other names than accuracy, and what is not finite is text."""
    target = recorder(tmp_path, tensorboard=True)
    target.record(event(1, metrics={"accuracy": 0.25, "recall": 0.5, "rmse": math.nan}))
    target.close()
    [line] = lines(tmp_path)
    assert line["metrics"] == {"accuracy": 0.25, "recall": 0.5, "rmse": "nan"}
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert "metrics/recall" in found.Tags()["scalars"]
    assert "metrics/rmse" not in found.Tags()["scalars"]


def test_what_is_not_finite_is_text(tmp_path: Path) -> None:
    """Strict JSON has no infinity; a round without measurement has null."""
    target = recorder(tmp_path)
    target.record(event(1, epsilon=math.inf, loss=math.nan))
    target.record(event(2, loss=None, accuracy=None))
    assert [line["epsilon"] for line in lines(tmp_path)] == ["inf", 1.5]
    assert [line["loss"] for line in lines(tmp_path)] == ["nan", None]
    assert target.accuracy_by_round == [(1, 0.25)]


def test_a_resumed_run_drops_rounds_that_were_not_finished(tmp_path: Path) -> None:
    """They are played again."""
    first = recorder(tmp_path)
    for number in (1, 2, 3):
        first.record(event(number))
    again = recorder(tmp_path, first_round=2)
    assert [line["round"] for line in lines(tmp_path)] == [1]
    again.record(event(2, accuracy=None))
    assert [line["round"] for line in lines(tmp_path)] == [1, 2]
    assert again.accuracy_by_round == [(1, 0.25)]
    assert recorder(tmp_path, first_round=3).accuracy_by_round == [(1, 0.25)]


@pytest.mark.parametrize("line", ['{"something": 1}', '{"round":1,"accuracy":0.5,"metrics":[]}'])
def test_metrics_of_another_form_are_a_state_error(tmp_path: Path, line: str) -> None:
    """The file is left as it is."""
    (tmp_path / METRICS).write_text(f"{line}\n")
    with pytest.raises(StateError, match="another form"):
        recorder(tmp_path, first_round=2)
    assert lines(tmp_path) == [json.loads(line)]


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    """What TensorBoard shows."""
    shown = EventAccumulator(str(folder / "tensorboard"))
    shown.Reload()
    return [(point.step, point.value) for point in shown.Scalars(name)]


def test_tensorboard_shows_every_finite_number_once_even_after_a_resume(tmp_path: Path) -> None:
    """Rounds that are played again replace what was written of them; no warning is raised."""
    first = recorder(tmp_path, tensorboard=True)
    for number in (1, 2):
        first.record(event(number, epsilon=math.inf))
    first.close()
    again = recorder(tmp_path, first_round=2, tensorboard=True)
    again.record(event(2, accuracy=0.75, epsilon=math.inf))
    again.close()
    assert scalars(tmp_path, "accuracy") == [(1, 0.25), (2, 0.75)]
    with pytest.raises(KeyError):
        scalars(tmp_path, "epsilon")


def test_tensorboard_that_cannot_be_written_is_a_state_error(tmp_path: Path) -> None:
    """A file is in the way."""
    (tmp_path / "tensorboard").write_text("")
    with pytest.raises(StateError, match="tensorboard cannot be written"):
        recorder(tmp_path, tensorboard=True)


def test_what_murmura_logs_is_appended_and_logging_is_left_as_it_was(tmp_path: Path) -> None:
    """Also where the run fails within."""
    path = tmp_path / "log.txt"
    path.write_text("before\n")
    logger = logging.getLogger("murmura")
    level, handlers = logger.level, list(logger.handlers)

    def fail() -> None:
        with log_file(path):
            logging.getLogger("murmura.server").info("inside")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    logging.getLogger("murmura.server").warning("outside")
    assert (logger.level, logger.handlers) == (level, handlers)
    first, second = path.read_text().splitlines()
    assert first == "before"
    assert second.endswith("INFO murmura.server inside")


def test_a_log_that_cannot_be_written_is_a_state_error(tmp_path: Path) -> None:
    """Here its name is a folder's."""
    with pytest.raises(StateError, match="cannot be written"), log_file(tmp_path):
        pytest.fail("a run without its log")
