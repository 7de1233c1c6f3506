"""A run is refused before it starts, or leaves everything whole; and goes on after any crash."""

import json
import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message

from server import coordinator, federation
from server.coordinator import run
from server.progress import LOGGER, RoundFinished, RunFinished, RunStarted
from server.run_folder import RunFolder
from shared.config import Scalar
from shared.errors import BudgetExhausted, ConfigurationError, PrivacyError, StateError
from tests.server.fake_grid import Answer, FakeGrid, failed, honest
from tests.server.toy import TASK, config

FILES = {
    "charges.jsonl", "checkpoint.safetensors", "config.json", "environment.json", "log.txt",
    "metrics.jsonl", "model.safetensors", "progress.jsonl", "report.html", "report.json",
    "report.md", "summary.json",
}  # fmt: skip
Changes = dict[str, Scalar]


class Killed(BaseException):
    """The process ends here; nothing may rest on catching it."""


def play(folder: Path, changes: Changes | None = None, answer: Answer = honest) -> FakeGrid:
    """A run to its end, or to whatever ends it."""
    grid = FakeGrid(3, answer)
    run(config(folder, changes), grid)
    return grid


def resume(folder: Path, changes: Changes | None = None) -> FakeGrid:
    """Go on with it."""
    return play(folder, {**(changes or {}), "output.resume": True})


def lines(folder: Path, name: str) -> list[dict[str, Any]]:
    """A file of one JSON object a line; none where there is no such file."""
    path = folder / "toy" / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def keys(folder: Path) -> list[tuple[int, int]]:
    """Round and attempt of every charge."""
    return [(line["round_number"], line["attempt"]) for line in lines(folder, "charges.jsonl")]


def result(folder: Path) -> tuple[bytes, Any, list[dict[str, Any]]]:
    """What must not depend on crashes: model, claims, and the rounds but for their duration."""
    claims = json.loads((folder / "toy/report.json").read_text())["claims"]
    rounds = [line | {"seconds": 0} for line in lines(folder, "metrics.jsonl")]
    return (folder / "toy/model.safetensors").read_bytes(), claims, rounds


def killed_in(round_number: str) -> Answer:
    """Clients that never see the end of that round."""

    def answer(client: int, message: Message) -> list[Message]:
        if message.metadata.group_id == round_number:
            raise Killed
        return honest(client, message)

    return answer


def test_a_run_leaves_all_its_files_and_says_how_it_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Events come in order, for programs as objects; the server itself prints nothing."""
    grid = FakeGrid(3, honest)
    with caplog.at_level(logging.INFO, logger="murmura"):
        folder = run(config(tmp_path), grid)
    assert {path.name for path in folder.iterdir()} == FILES
    events = [
        record.__dict__["progress"] for record in caplog.records if record.name == LOGGER.name
    ]
    started, first, second, finished = events
    assert isinstance(started, RunStarted)
    assert (started.run_id, started.first_round, started.dimension) == ("toy", 1, 2)
    assert isinstance(first, RoundFinished)
    assert (first.round_number, second.round_number) == (1, 2)
    assert 0 < first.epsilon < second.epsilon <= first.epsilon_budget
    assert isinstance(finished, RunFinished)
    assert finished.summary == json.loads((folder / "summary.json").read_text())
    assert "released_model" in (folder / "log.txt").read_text()
    assert capsys.readouterr() == ("", "")


def test_the_folder_says_where_every_value_came_from(tmp_path: Path) -> None:
    """As the command line tells it; without it, from the run config."""
    play(tmp_path, {"output.origins": '{"rounds": "-c"}'})
    described = json.loads((tmp_path / "toy/config.json").read_text())
    assert described["rounds"] == {"value": 2, "origin": "-c"}
    assert described["seed"] == {"value": 5, "origin": "run config"}
    assert described.keys() == config(tmp_path).flat().keys() - {"output.origins"}


REFUSED: dict[str, tuple[Changes, type[Exception]]] = {
    "budget": ({"privacy.epsilon_budget": 0.1}, BudgetExhausted),
    "model": ({"task": TASK.replace("Toy", "Mixing")}, ConfigurationError),
    "delta": ({"privacy.delta": 0.4}, ConfigurationError),
    "origins": ({"output.origins": "{"}, ConfigurationError),
    "origins list": ({"output.origins": "[]"}, ConfigurationError),
    "device": ({"runtime.device": "cuda:99"}, ConfigurationError),
    "resume nothing": ({"output.resume": True, "output.run_id": ""}, ConfigurationError),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_run_that_is_refused_asks_nobody_and_writes_nothing(tmp_path: Path, why: str) -> None:
    """Before any training, and before any folder."""
    changes, error = REFUSED[why]
    grid = FakeGrid(3, honest, enrolment=lambda client, message: pytest.fail(f"{client}{message}"))
    with pytest.raises(error):
        run(config(tmp_path, changes), grid)
    assert not grid.trained
    assert not list(tmp_path.iterdir())


def test_a_run_does_not_overwrite_another(tmp_path: Path) -> None:
    """The same run id twice."""
    play(tmp_path)
    before = result(tmp_path)
    with pytest.raises(StateError, match="exists already"):
        play(tmp_path)
    assert result(tmp_path) == before


def test_an_incomplete_population_stops_the_run_before_any_charge(tmp_path: Path) -> None:
    """The reason is in the log."""
    grid = FakeGrid(2, honest)
    with pytest.raises(ConfigurationError, match="impossible cohort"):
        run(config(tmp_path), grid)
    assert keys(tmp_path) == []
    assert not grid.trained


def test_a_round_is_charged_before_its_instructions_leave(tmp_path: Path) -> None:
    """On disk, with everybody who is asked."""

    class Watching(FakeGrid):
        def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
            pushed = list(messages)
            if pushed[0].metadata.message_type == "train":
                charge = lines(tmp_path, "charges.jsonl")[-1]
                seen.append((charge["round_number"], charge["clients"]))
                assert str(charge["round_number"]) == pushed[0].metadata.group_id
            return super().push_messages(pushed)

    seen: list[tuple[int, list[str]]] = []
    run(config(tmp_path), Watching(3, honest))
    assert seen == [(1, ["site-0", "site-1", "site-2"]), (2, ["site-0", "site-1", "site-2"])]


def test_a_seeded_run_gives_the_same_bytes_and_claims_twice(tmp_path: Path) -> None:
    """In another folder, too; another seed gives others."""
    play(tmp_path / "a")
    play(tmp_path / "b")
    play(tmp_path / "c", {"seed": 6})
    assert result(tmp_path / "a") == result(tmp_path / "b")
    assert result(tmp_path / "a")[0] != result(tmp_path / "c")[0]


def test_runs_of_fresh_randomness_differ(tmp_path: Path) -> None:
    """The noise is the operating system's."""
    for name in ("a", "b"):
        play(tmp_path / name, {"seed": "os"})
    assert result(tmp_path / "a")[0] != result(tmp_path / "b")[0]


@pytest.mark.parametrize("round_number", ["1", "2", "3"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_seeded_run_that_was_killed_ends_as_if_it_had_not_been(
    tmp_path: Path, round_number: str, optimizer: str
) -> None:
    """Same model bytes, same claims; a round that was charged already is not charged again."""
    changes: Changes = {"rounds": 3, "server.optimizer": optimizer}
    play(tmp_path / "straight", changes)
    with pytest.raises(Killed):
        play(tmp_path / "killed", changes, killed_in(round_number))
    done = int(round_number) - 1
    assert len(lines(tmp_path / "killed", "metrics.jsonl")) == done
    assert keys(tmp_path / "killed") == [(number, 1) for number in range(1, done + 2)]
    grid = resume(tmp_path / "killed", changes)
    assert len(grid.trained) == 3 * (3 - done)
    assert result(tmp_path / "killed") == result(tmp_path / "straight")
    assert keys(tmp_path / "killed") == [(1, 1), (2, 1), (3, 1)]


def test_what_was_lost_and_how_long_it_took_is_counted_over_a_resume(tmp_path: Path) -> None:
    """One answer lost in each of two rounds, the process in between."""

    def slow(client: int, message: Message) -> list[Message]:
        time.sleep(0.01)  # so that a round that is not counted shows
        return honest(client, message) if client else [failed(message)]

    def answer(client: int, message: Message) -> list[Message]:
        killed_in("2")(client, message)
        return slow(client, message)

    with pytest.raises(Killed):
        play(tmp_path, answer=answer)
    play(tmp_path, {"output.resume": True}, slow)
    summary = json.loads((tmp_path / "toy/summary.json").read_text())
    assert summary["clients_lost"] == 2
    took = sum(line["seconds"] for line in lines(tmp_path, "metrics.jsonl"))
    assert summary["seconds"] == pytest.approx(took, abs=2e-3)


def test_a_repeated_round_of_fresh_randomness_is_another_attempt_and_charged(
    tmp_path: Path,
) -> None:
    """Two draws of noise on one sum are two releases, and the report counts both."""
    with pytest.raises(Killed):
        play(tmp_path, {"seed": "os"}, killed_in("2"))
    grid = resume(tmp_path, {"seed": "os"})
    assert keys(tmp_path) == [(1, 1), (2, 1), (2, 2)]
    assert len(grid.trained) == 3
    released = result(tmp_path)[1][-1]
    assert released["epsilon"] > released["planned_epsilon"]
    assert json.loads((tmp_path / "toy/report.json").read_text())["ledger"]["entries"] == 3


def test_a_repeated_round_that_would_overspend_is_refused(tmp_path: Path) -> None:
    """The budget had room for the plan, and for no repetition."""
    changes: Changes = {"seed": "os", "privacy.epsilon_budget": 7.0}
    with pytest.raises(Killed):
        play(tmp_path, changes, killed_in("2"))
    with pytest.raises(BudgetExhausted, match="round 2 must keep epsilon at most 7"):
        resume(tmp_path, changes)
    assert keys(tmp_path) == [(1, 1), (2, 1)]


def crash_at(number: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Kill the process at the `number`-th sync of a file or folder; counts them."""
    count: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        count.append(descriptor)
        if len(count) == number:
            raise Killed
        real(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    return count


def test_a_crash_at_any_write_loses_at_most_the_round_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every sync of a whole run, seeded: it goes on to the same model, claims and rounds."""
    # As deployed: a simulation does not wait for the disk.
    always = property(lambda _: True, lambda _folder, _value: None)
    monkeypatch.setattr(RunFolder, "synced", always, raising=False)
    with monkeypatch.context() as patched:
        counted = crash_at(0, patched)
        play(tmp_path / "straight")
    syncs = len(counted)
    expected = result(tmp_path / "straight")
    resumed = 0
    for number in range(1, syncs + 1):
        folder = tmp_path / f"crash-{number}"
        with monkeypatch.context() as patched:
            crash_at(number, patched)
            with pytest.raises(Killed):
                play(folder)
        kept = len(lines(folder, "metrics.jsonl"))
        if not (folder / "toy/config.json").exists():
            assert keys(folder) == []
        elif not (folder / "toy/summary.json").exists():
            grid = resume(folder)
            assert len(grid.trained) >= 3 * (2 - kept)
            assert result(folder) == expected, f"after a crash at sync {number} of {syncs}"
            resumed += 1
    assert resumed > 10


def test_a_finished_run_is_not_resumed(tmp_path: Path) -> None:
    """Nothing is left to do."""
    play(tmp_path)
    with pytest.raises(StateError, match="is finished"):
        resume(tmp_path)


def test_what_is_no_run_is_not_resumed(tmp_path: Path) -> None:
    """Nothing lies there."""
    with pytest.raises(StateError, match=r"expected a run to resume in .*got no config\.json"):
        resume(tmp_path)


@pytest.mark.parametrize("round_number", ["1", "2"])
@pytest.mark.parametrize(
    ("key", "value"),
    [("privacy.noise_multiplier", 2.0), ("seed", "os"), ("rounds", 3), ("training.steps", 2)],
)
def test_a_run_goes_on_with_its_own_configuration_only(
    tmp_path: Path, round_number: str, key: str, value: Scalar
) -> None:
    """With a checkpoint or, killed in its first round, without one: it has charges already."""
    with pytest.raises(Killed):
        play(tmp_path, answer=killed_in(round_number))
    with pytest.raises(StateError, match=rf"{key} differ: expected {key} = "):
        resume(tmp_path, {key: value})


@pytest.mark.parametrize("round_number", ["1", "2"])
def test_a_run_goes_on_with_its_own_code_only(
    tmp_path: Path, round_number: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a checkpoint or without one."""
    with pytest.raises(Killed):
        play(tmp_path, answer=killed_in(round_number))
    for module in (coordinator, federation):
        monkeypatch.setattr(module, "code_digest", lambda: "0" * 64)
    with pytest.raises(StateError, match="own code only"):
        resume(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", '{"rounds": 2}'),
        ("config.json", '{"rounds": {}}'),
        ("environment.json", "{}"),
        ("charges.jsonl", ""),
        ("charges.jsonl", '{"round_number": 1}\n'),
        ("metrics.jsonl", "{}\n"),
        ("checkpoint.safetensors", "x"),
    ],
)
def test_damaged_state_is_a_state_error(tmp_path: Path, name: str, content: str) -> None:
    """Never another exception, and never a run that goes on as if nothing were missing."""
    with pytest.raises(Killed):
        play(tmp_path, answer=killed_in("2"))
    (tmp_path / "toy" / name).write_text(content)
    with pytest.raises(StateError):
        resume(tmp_path)


def test_a_disk_that_is_full_stops_the_run_before_the_instructions_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be charged is not asked; what was done can be resumed."""
    play(tmp_path / "straight")
    grid = FakeGrid(3, honest)
    real = RunFolder.append_line

    def full(self: Any, name: str, content: Any, *, durable: bool) -> None:
        if name == "charges.jsonl" and content["round_number"] == 2:
            raise StateError(f"{self.file(name)} cannot be written: [Errno 28] No space left")
        real(self, name, content, durable=durable)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "append_line", full)
        with pytest.raises(StateError, match=r"charges\.jsonl cannot be written"):
            run(config(tmp_path / "full"), grid)
    assert len(grid.trained) == 3
    resume(tmp_path / "full")
    assert result(tmp_path / "full") == result(tmp_path / "straight")


def test_a_folder_that_cannot_be_written_is_a_state_error(tmp_path: Path) -> None:
    """With the path and the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match=r"file/toy cannot be made: .*Not a directory"):
        play(tmp_path / "file")


def test_tensorboard_is_written_where_it_is_wanted(tmp_path: Path) -> None:
    """And raises no warning, which here would be an error."""
    play(tmp_path, {"output.tensorboard": True})
    assert list((tmp_path / "toy/tensorboard").iterdir())


def test_a_broken_guarantee_is_never_swallowed(tmp_path: Path) -> None:
    """What is raised while a round is collected ends the run."""

    def broken(client: int, message: Message) -> list[Message]:
        raise PrivacyError(f"{client} {message.metadata.group_id}")

    with pytest.raises(PrivacyError):
        play(tmp_path, answer=broken)
