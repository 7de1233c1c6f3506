"""Files are whole or not there, and every failure names the path and the reason."""

import errno
import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from server.progress_file import progress_file
from server.recording import log_file
from server.run_folder import RunFolder, new_run_id
from shared.errors import StateError

Failing = Callable[..., NoReturn]


def failing(error: BaseException) -> Failing:
    """A function that raises, whatever it is called with."""

    def fail(*arguments: object, **named: object) -> NoReturn:
        del arguments, named
        raise error

    return fail


def failing_folder(error: BaseException) -> Callable[..., int]:
    """An `os.open` that raises for folders alone."""
    real = os.open

    def fail(path: str, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            return real(path, flags, *mode)
        raise error

    return fail


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A folder with one file."""
    made = RunFolder(tmp_path / "run")
    made.create()
    made.write("model", b"old")
    return made


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "open", "replace"])
@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()])
def test_whatever_ends_a_write_leaves_the_old_file_and_nothing_half(
    folder: RunFolder, call: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is a StateError with path and reason; an interrupt passes through."""
    owner = Path if call == "replace" else os
    expected = StateError if error is FULL else KeyboardInterrupt
    with monkeypatch.context() as patched:
        patched.setattr(owner, call, failing(error) if call != "open" else failing_folder(error))
        with pytest.raises(expected) as caught:
            folder.write("model", b"new")
    if error is FULL:
        assert str(folder.file("model")) in str(caught.value)
        assert "No space left" in str(caught.value)
    # The folder is synced when the new file is in place already.
    assert folder.file("model").read_bytes() == (b"new" if call == "open" else b"old")
    assert [path.name for path in folder.path.iterdir()] == ["model"]


def test_a_folder_that_is_gone_is_a_state_error(folder: RunFolder) -> None:
    """For every way to write."""
    gone = RunFolder(folder.path / "gone")
    with pytest.raises(StateError, match=r"gone/a cannot be written: .*No such file"):
        gone.write("a", b"")
    with pytest.raises(StateError, match=r"gone/b cannot be written: .*No such file"):
        gone.append_line("b", {}, durable=True)


def test_a_run_is_its_owner_s_alone(tmp_path: Path) -> None:
    """Whatever the process's mask is, and whatever mode a file had before."""
    before = os.umask(0)
    try:
        made = RunFolder(tmp_path / "runs" / "run")
        made.create()
        made.write("model", b"x")
        made.file("metrics").touch(0o644)
        made.append_line("metrics", {}, durable=False)
        made.write_json("report", {})
        with log_file(made.file("log.txt")), progress_file(made, "1"):
            pass
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in made.path.iterdir()}
    assert modes == dict.fromkeys(
        ("model", "metrics", "report", "log.txt", "progress.jsonl"), 0o600
    )
    assert made.path.stat().st_mode & 0o777 == 0o700


def test_a_run_folder_is_made_once(folder: RunFolder) -> None:
    """Results of another run are never mixed in."""
    with pytest.raises(StateError, match="exists already; resume it"):
        RunFolder(folder.path).create()


def test_a_folder_that_cannot_be_made_says_why(folder: RunFolder) -> None:
    """Here a file is in the way."""
    with pytest.raises(StateError, match=r"cannot be made: .*Not a directory"):
        RunFolder(folder.file("model") / "run").create()


def test_only_a_last_line_may_be_torn(folder: RunFolder) -> None:
    """A crash while a line is written loses that line, on disk too, and no other."""
    for number in range(3):
        folder.append_line("lines", {"n": number}, durable=True)
    path = folder.file("lines")
    whole = path.read_bytes()
    for cut in range(1, 8):
        path.write_bytes(whole[:-cut])
        assert folder.read_lines("lines") == [{"n": 0}, {"n": 1}]
        folder.append_line("lines", {"n": 9}, durable=False)
        assert folder.read_lines("lines") == [{"n": 0}, {"n": 1}, {"n": 9}]


@pytest.mark.parametrize("content", [b'{"n":0}\n{"n\n{"n":2}\n', b"3\n", b"\xff\n", b"\n"])
def test_any_other_damage_is_a_state_error(folder: RunFolder, content: bytes) -> None:
    """A line in the middle that cannot be read may be a charge."""
    folder.file("lines").write_bytes(content)
    with pytest.raises(StateError, match="must hold one JSON object a line"):
        folder.read_lines("lines")


def test_lines_of_what_is_no_file_are_a_state_error(folder: RunFolder) -> None:
    """And lines of nothing are none."""
    assert folder.read_lines("nothing") == []
    folder.file("lines").mkdir()
    with pytest.raises(StateError, match="Is a directory"):
        folder.read_lines("lines")


def test_json_comes_back_and_is_strict(folder: RunFolder) -> None:
    """Infinity and NaN are not JSON."""
    folder.write_json("a.json", {"x": 1e-5, "y": ["inf"]})
    assert folder.read_json("a.json") == {"x": 1e-5, "y": ["inf"]}
    with pytest.raises(ValueError, match="Out of range"):
        folder.write_json("b.json", {"x": float("inf")})
    assert not folder.file("b.json").exists()


@pytest.mark.parametrize("content", [None, "{", "[1]"])
def test_json_that_is_missing_or_of_another_form_is_a_state_error(
    folder: RunFolder, content: str | None
) -> None:
    """Never another exception."""
    if content is not None:
        folder.file("a.json").write_text(content)
    with pytest.raises(StateError, match=r"a\.json must"):
        folder.read_json("a.json")


def test_a_run_id_is_a_plain_name_of_its_own() -> None:
    """Whatever the task is called."""
    first, second = new_run_id("my.module:Task"), new_run_id("my.module:Task")
    assert first != second
    assert "-my-module-Task-" in first


def test_one_process_at_a_time_plays_a_run(folder: RunFolder) -> None:
    """A second is refused while the first holds the folder, not after; a body's error passes."""
    again = RunFolder(folder.path)
    with folder.held(), pytest.raises(StateError, match="no other process's"), again.held():
        pass
    with pytest.raises(PermissionError), again.held():
        raise PermissionError
    with again.held():
        pass


def test_a_folder_that_cannot_be_held_says_why(tmp_path: Path) -> None:
    """Nothing is played without the lock."""
    with pytest.raises(StateError, match="cannot be locked"), RunFolder(tmp_path / "no").held():
        pass


def test_whether_somebody_plays_is_seen_and_whoever_only_looks_is_waited_for(
    folder: RunFolder,
) -> None:
    """A look takes a moment of the same lock."""
    assert not folder.is_held()
    assert not RunFolder(folder.path / "no").is_held()
    looking = os.open(folder.path, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    gone = threading.Timer(0.3, os.close, (looking,))
    gone.start()
    with folder.held():
        assert RunFolder(folder.path).is_held()
    gone.join()
    assert not folder.is_held()


def test_a_simulation_does_not_wait_for_the_disk(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it writes is whole, and no call asks for a sync; with one, each write does."""
    calls = list[int]()
    monkeypatch.setattr(os, "fsync", calls.append)
    folder.synced = False
    folder.write("model", b"new")
    folder.append_line("charges", {"n": 1}, durable=True)
    assert calls == []
    assert folder.file("model").read_bytes() == b"new"
    assert folder.read_lines("charges") == [{"n": 1}]
    folder.synced = True
    folder.write("model", b"newer")
    folder.append_line("charges", {"n": 2}, durable=True)
    assert len(calls) == 3


def test_whoever_reads_what_is_replaced_reads_it_whole(tmp_path: Path) -> None:
    """Synced or not, a reader keeps what it opened; and no descriptor stays open for it."""
    folder = RunFolder(tmp_path)
    for folder.synced in (True, False):
        folder.write("model", b"old")
        open_before = len(list(Path("/proc/self/fd").iterdir()))
        with folder.file("model").open("rb") as reader:
            for number in range(50):
                folder.write("model", b"new %d" % number)
            assert reader.read() == b"old"
        assert folder.file("model").read_bytes() == b"new 49"
        assert [path.name for path in tmp_path.iterdir()] == ["model"]
        assert len(list(Path("/proc/self/fd").iterdir())) <= open_before + 1


def test_a_replacement_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is synced either."""
    folder = RunFolder(tmp_path)
    folder.synced = False
    folder.write("model", b"old")
    monkeypatch.setattr("os.replace", failing(OSError(errno.ENOSPC, "no space left")))
    monkeypatch.setattr(Path, "replace", failing(OSError(errno.ENOSPC, "no space left")))
    with pytest.raises(StateError, match="no space left"):
        folder.write("model", b"new")
    assert folder.file("model").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
