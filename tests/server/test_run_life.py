"""The process of a run lives, has ended, or has died: its folder tells which."""

from pathlib import Path

import pytest

from server.progress_file import PROGRESS, Ended, Opened, Told, line_of
from server.run_folder import RunFolder
from server.run_life import RunLife, folder_in
from shared.config import Scalar

LOOKS = 3


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """Of a run."""
    made = RunFolder(tmp_path / "run")
    made.create()
    return made


def tell(folder: RunFolder, event: Told) -> None:
    """As the run's process does."""
    folder.append_line(PROGRESS, line_of(event), durable=False)


def looked(life: RunLife) -> list[bool]:
    """Some looks, one after the other."""
    return [life.has_died() for _ in range(LOOKS)]


def test_a_process_that_is_gone_without_a_word_has_died(folder: RunFolder) -> None:
    """Not at the first look: it may be about to say why."""
    life = RunLife(folder.path, "7")
    assert not any(looked(life))  # it has not begun
    with folder.held():
        tell(folder, Opened(1, "7"))
        assert not any(looked(life))
    assert looked(life) == [False, False, True]
    assert looked(RunLife(folder.path, "7")) == [False, False, True]


def test_a_process_that_said_how_it_ended_has_not(folder: RunFolder) -> None:
    """Flower is told by that process itself."""
    life = RunLife(folder.path, "7")
    tell(folder, Opened(1, "7"))
    tell(folder, Ended("StateError", "the disk is full"))
    assert not any(looked(life))


def test_the_run_that_was_resumed_is_gone_and_the_one_that_resumes_it_is_not(
    folder: RunFolder,
) -> None:
    """Though the folder is held: by whoever opened it last."""
    before, after = RunLife(folder.path, "7"), RunLife(folder.path, "8")
    tell(folder, Opened(1, "7"))
    with folder.held():
        tell(folder, Opened(2, "8"))
        assert looked(before) == [False, False, True]
        assert not any(looked(after))
    assert looked(after) == [False, False, True]


def test_a_folder_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    """Of a run that has not opened it yet."""
    assert not any(looked(RunLife(tmp_path / "none", "7")))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"output.dir": "runs", "output.run_id": "a"}, Path("runs/a")),
        ({"output.dir": "runs", "output.run_id": ""}, None),
        ({"lr": 0.5}, None),
    ],
)
def test_the_folder_is_that_of_the_settings(
    settings: dict[str, Scalar], expected: Path | None
) -> None:
    """None, where they do not say it."""
    assert folder_in(settings) == expected
