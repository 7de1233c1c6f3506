"""Files that survive a crash: what a call wrote is on disk, whole or not at all, when it returns.

Every file is readable by its owner alone. An append is one write: a crash may leave a part of it
at the end of the file, which its reader has to tell from a whole line by the newline.
"""

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock
from pathlib import Path
from typing import Any

from shared.errors import StateError

_OWNER_ALONE = 0o600
_LOOK_S = 0.05


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


def locked_soon(descriptor: int, within_s: float) -> bool:
    """Whether the lock of an open file is ours now; whoever only looks holds it for a moment."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_S)
        else:
            return True


def append_durably(path: Path, line: bytes) -> None:
    """`line` is on disk at the end of `path`, which exists. Raises OSError; a part may be there."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        if os.write(descriptor, line) != len(line):
            raise OSError(0, "written in part")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_durably(path: Path, *contents: bytes) -> None:
    """A new file with `contents`, one after the other, is on disk.

    Raises OSError, also where there is one already.
    """
    # Secrecy: the mode is there before the content.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ALONE)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(contents)
        file.flush()
        os.fsync(descriptor)
    sync_folder(path.parent)


def replace_durably(path: Path, *contents: bytes) -> None:
    """`path` holds `contents`; after a crash, that or what it held before. Raises OSError."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        create_durably(fresh, *contents)
        fresh.replace(path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)


def write_private(path: Path, *contents: bytes) -> None:
    """As `replace_durably`. Raises StateError if it cannot be written."""
    try:
        replace_durably(path, *contents)
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}") from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """As `write_private`, strict JSON."""
    write_private(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; an empty one where there is no file. Raises StateError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StateError(f"{path} must be a readable JSON file") from error
    if not isinstance(content, dict):
        raise StateError(f"{path} must hold one JSON object, got {type(content).__name__}")
    return content


def remove(path: Path) -> None:
    """`path` is gone, on disk too. Raises StateError."""
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise StateError(f"{path} cannot be removed: {error.strerror}") from error


def sync_folder(folder: Path) -> None:
    """The names in `folder` are on disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
