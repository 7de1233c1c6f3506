"""The run folder: its owner's alone; files are whole or not there; what privacy rests on is synced.

Secrecy: it holds who was asked, who answered and when, which no claim covers. So the folder is 0700
and what is written here 0600, whatever the process's mask is; who passes on model and report,
copies them.
"""

import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path
from typing import Any

from shared.errors import StateError

SUMMARY = "summary.json"  # the last file of a run: it says that the run is finished
_LOCK_S, _LOOK_S = 1.0, 0.05
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600


def new_run_id(task: str) -> str:
    """A name for a run: time, task and four random digits."""
    name = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in task)
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{name}-{secrets.token_hex(2)}"


def private(path: str, flags: int) -> int:
    """For `open`: the file's mode is there before its content, and an older file gets it too."""
    descriptor = os.open(path, flags, _PRIVATE_FILE)
    os.fchmod(descriptor, _PRIVATE_FILE)
    return descriptor


class RunFolder:
    """Paths of one run's files, and the only place that writes them.

    Args:
        path: The folder; made, with its parents, by `create`.

    Attributes:
        synced: Whether what is written outlives the machine's death, and not this process's alone.
            A simulation releases nothing, so it need not wait for the disk in every round.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.synced = True
        self._letting_go: ThreadPoolExecutor | None = None
        self._last: Future[None] | None = None

    def create(self) -> None:
        """Make the folder.

        Raises:
            StateError: it exists already, or cannot be made.
        """
        try:
            self.path.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=False)
        except FileExistsError as error:
            raise StateError(
                f"run folder {self.path} exists already; resume it or choose another run id"
            ) from error
        except OSError as error:
            raise StateError(f"run folder {self.path} cannot be made: {error}") from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """No other process plays rounds in this folder; a process that dies lets it go.

        Raises:
            StateError: another process does, or the lock cannot be had.
        """
        try:
            lock = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise StateError(f"{self.path} cannot be locked: {error}") from error
        try:
            # Guarantee: two that resume one run would each release the same rounds, and each
            # charge them once.
            self._lock(lock)
            yield
        finally:
            os.close(lock)

    def is_held(self) -> bool:
        """Whether some process plays rounds in this folder now."""
        try:
            lock = os.open(self.path, os.O_RDONLY)
        except OSError:
            return False
        try:
            flock(lock, LOCK_SH | LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(lock)
        return False

    def _lock(self, descriptor: int) -> None:
        deadline = time.monotonic() + _LOCK_S
        while True:
            try:
                flock(descriptor, LOCK_EX | LOCK_NB)
            except OSError as error:
                # Whoever only looks, in `is_held`, has it for a moment.
                if time.monotonic() > deadline:
                    raise StateError(
                        f"{self.path} must be no other process's, got {error}"
                    ) from error
                time.sleep(_LOOK_S)
            else:
                return

    def file(self, name: str) -> Path:
        """Path of one file."""
        return self.path / name

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write strict JSON: infinity and NaN are refused."""
        text = json.dumps(content, indent=1, allow_nan=False, sort_keys=False)
        self.write(name, (text + "\n").encode())

    def write(self, name: str, *contents: bytes | memoryview) -> None:
        """Replace a file at once: after a crash there is the old content or the new.

        Args:
            name: Of the file.
            contents: One after the other.

        Raises:
            StateError: the disk is full or not writable; no part of a file is left.
        """
        self.write_parts(name, contents)

    def write_parts(self, name: str, contents: Iterable[bytes | memoryview]) -> None:
        """As `write`, of contents that may be made as they are written."""
        target = self.file(name)
        partial = target.with_name(f".{name}.partial")
        left = True
        try:
            with open(partial, "wb", opener=private) as file:
                file.writelines(contents)
                if self.synced:
                    file.flush()
                    os.fsync(file.fileno())
            if self.synced:
                partial.replace(target)
                self._sync_folder()
            else:
                self._replace(partial, target)
            left = False
        except OSError as error:
            raise StateError(f"{target} cannot be written: {error}") from error
        finally:
            # Whatever ends this, an interrupt too.
            if left:
                with suppress(OSError):
                    partial.unlink(missing_ok=True)

    def _replace(self, partial: Path, target: Path) -> None:
        """Without waiting for a disk to free the room of what was there: a thread does."""
        before: int | None = None
        with suppress(OSError):  # there may be none, and then nothing is to be freed
            before = os.open(target, os.O_RDONLY)
        try:
            partial.replace(target)
        finally:
            # As long as it is open its room is not freed: milliseconds, for a checkpoint.
            if before is not None:
                self._let_go(before)

    def _let_go(self, descriptor: int) -> None:
        if self._letting_go is None:
            self._letting_go = ThreadPoolExecutor(1, "murmura-file")
        if self._last is not None:
            self._last.result()  # a slow disk slows us down, rather than that files pile up
        self._last = self._letting_go.submit(os.close, descriptor)

    def append_line(self, name: str, content: Mapping[str, Any], *, durable: bool) -> None:
        """Append one line of JSON; `durable`: it is on disk when this returns, where `synced`.

        Raises:
            StateError: the disk is full or not writable.
        """
        line = json.dumps(content, allow_nan=False, separators=(",", ":")) + "\n"
        target = self.file(name)
        durable = durable and self.synced
        is_new = durable and not target.exists()
        try:
            with open(target, "ab", opener=private) as file:
                file.write(line.encode())
                if durable:
                    file.flush()
                    os.fsync(file.fileno())
            if is_new:
                self._sync_folder()
        except OSError as error:
            raise StateError(f"{target} cannot be written: {error}") from error

    def read_lines(self, name: str) -> list[dict[str, Any]]:
        """All lines of JSON; a last line that a crash cut short is left out.

        Raises:
            StateError: another line is not a JSON object, or the file cannot be read.
        """
        path = self.file(name)
        try:
            *whole, rest = path.read_bytes().split(b"\n")
            found: list[dict[str, Any]] = [json.loads(line) for line in whole]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise StateError(f"{path} must hold one JSON object a line: {error}") from error
        if not all(isinstance(line, dict) for line in found):
            raise StateError(f"{path} must hold one JSON object a line, got another value")
        if rest:
            self.rewrite_lines(name, found)
        return found

    def rewrite_lines(self, name: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """Replace all lines of a file at once."""
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        self.write(name, text.encode())

    def read_json(self, name: str) -> dict[str, Any]:
        """One JSON object.

        Raises:
            StateError: missing, or not a JSON object.
        """
        path = self.file(name)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StateError(f"{path} must be a readable JSON file: {error}") from error
        if not isinstance(content, dict):
            raise StateError(f"{path} must hold one JSON object, got {type(content).__name__}")
        return content

    def _sync_folder(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
