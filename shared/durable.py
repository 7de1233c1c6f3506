"""Files that survive a crash: what a call wrote is on disk, whole or not at all, when it returns.

Every file is readable by its owner alone. An append is one write: a crash may leave a part of it
at the end of the file, which its reader has to tell from a whole line by the newline.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_UN, flock
from pathlib import Path

_OWNER_ALONE = 0o600


@contextmanager
def alone_with(lock: Path) -> Iterator[None]:
    """No other process or thread is in here with the same `lock`; a process that dies leaves it.

    Raises:
        OSError: the file cannot be made.
    """
    descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT, _OWNER_ALONE)
    try:
        flock(descriptor, LOCK_EX)
        try:
            yield
        finally:
            flock(descriptor, LOCK_UN)
    finally:
        os.close(descriptor)


def append_durably(path: Path, line: bytes) -> None:
    """`line` is on disk at the end of `path`, which exists. Raises OSError; a part may be there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(0, "written in part")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_durably(path: Path, content: bytes) -> None:
    """A new file with `content` is on disk. Raises OSError, also where there is one already."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ALONE)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_folder(path.parent)


def replace_durably(path: Path, content: bytes) -> None:
    """`path` holds `content`; after a crash, that or what it held before. Raises OSError."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    create_durably(fresh, content)
    fresh.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """The names in `folder` are on disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
