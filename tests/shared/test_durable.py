"""What is written is on disk when the call returns, whole or not at all, and its owner's alone."""

import os
import threading
from pathlib import Path

import pytest

from shared.durable import (
    alone_with,
    append_durably,
    create_durably,
    locked_soon,
    read_json,
    remove,
    replace_durably,
    write_json,
    write_private,
)
from shared.errors import StateError


def test_a_file_is_its_owners_alone_and_made_once(tmp_path: Path) -> None:
    """Whatever the umask says; a second one is refused."""
    path = tmp_path / "file"
    before = os.umask(0)
    try:
        create_durably(path, b"one\n")
        with alone_with(tmp_path / "lock"):
            pass
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("file", "lock")] == [0o600] * 2
    with pytest.raises(FileExistsError):
        create_durably(path, b"two\n")
    append_durably(path, b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"
    replace_durably(path, b"three\n")
    assert path.read_bytes() == b"three\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "lock"]


def test_content_is_synced_before_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An append syncs the file; a new name is synced with its folder."""
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", synced.append)
    create_durably(tmp_path / "file", b"one")
    assert len(synced) == 2
    append_durably(tmp_path / "file", b"two")
    assert len(synced) == 3
    replace_durably(tmp_path / "file", b"three")
    assert len(synced) == 6


def test_a_write_in_part_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes some bytes and says so by their number alone."""
    (tmp_path / "file").touch()
    monkeypatch.setattr("os.write", lambda *_: 1)
    with pytest.raises(OSError, match="in part"):
        append_durably(tmp_path / "file", b"two")


def test_two_threads_are_never_within_together(tmp_path: Path) -> None:
    """As two processes are not: the lock is of the open file."""
    inside, most = 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(200):
            with alone_with(tmp_path / "lock"):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (inside, most) == (0, 1)


def test_a_file_is_replaced_whole_and_a_failure_leaves_the_old_one(tmp_path: Path) -> None:
    """For its owner alone; no part of a new one stays behind."""
    path = tmp_path / "file"
    for content in (b"old", b"new"):
        write_private(path, content)
        assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o600
    remove(path)
    remove(path)
    path.mkdir()
    with pytest.raises(StateError, match="cannot be written"):
        write_private(path, b"newer")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    with pytest.raises(StateError, match="cannot be written"):
        write_private(tmp_path / "nowhere" / "file", b"")
    with pytest.raises(StateError, match="cannot be removed"):
        remove(tmp_path / "nowhere" / "file")


def test_json_that_is_none_is_refused(tmp_path: Path) -> None:
    """A missing file is an empty object, and no other."""
    path = tmp_path / "state.json"
    assert read_json(path) == {}
    write_json(path, {"a": 1})
    assert read_json(path) == {"a": 1}
    for content in ("{", "[1]", "\x00"):
        path.write_text(content)
        with pytest.raises(StateError):
            read_json(path)


def test_a_lock_is_waited_for_and_not_for_ever(tmp_path: Path) -> None:
    """Whoever only looks holds it for a moment; whoever runs keeps it."""
    first, second = (os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert locked_soon(first, 0.0)
    assert not locked_soon(second, 0.0)
    timer = threading.Timer(0.1, os.close, [first])
    timer.start()
    assert locked_soon(second, 20.0)
    timer.join()
    os.close(second)
