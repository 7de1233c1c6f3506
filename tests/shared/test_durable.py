"""What is written is on disk when the call returns, whole or not at all, and its owner's alone."""

import os
import threading
from pathlib import Path

import pytest

from shared.durable import alone_with, append_durably, create_durably, replace_durably


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
