"""Large vectors between two rounds lie in a file, and are read from it a block at a time.

While a round's updates are added up nobody reads the model or the optimizer's memory, which are
three times the size of an update. They are in the checkpoint anyway: its file is kept open, and
what it holds need not be in memory too. The next model is written to a file as it is computed,
since what it is computed from is twice its size.
"""

import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import StateError

SMALLEST = 1 << 24  # bytes; what is less stays in memory
_AT_ONCE = 1 << 20  # of one read or write


class Opened:
    """A file that is open as long as somebody has this object, also where it has lost its name.

    Args:
        descriptor: Of the file; closed at the end.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        weakref.finalize(self, os.close, descriptor)

    @classmethod
    def of(cls, path: Path) -> "Opened":
        """A file that is there. Raises StateError."""
        try:
            return cls(os.open(path, os.O_RDONLY))
        except OSError as error:
            raise StateError(f"{path} cannot be read: {error}") from error

    def read(self, start: int, found: memoryview) -> None:
        """Fill `found` from the byte `start` on. Raises StateError where the file ends before."""
        place = 0
        while place < len(found):
            try:
                part = found[place : place + _AT_ONCE]
                read = os.preadv(self._descriptor, [part], start + place)
            except OSError as error:
                raise StateError(f"a vector at rest cannot be read: {error}") from error
            if not read:
                raise StateError(f"expected {len(found)} bytes of a vector at rest, got {place}")
            place += read

    def write(self, start: int, content: memoryview) -> None:
        """Put `content` at the byte `start`. Raises StateError where the disk is full."""
        place = 0
        while place < len(content):
            try:
                part = content[place : place + _AT_ONCE]
                place += os.pwritev(self._descriptor, [part], start + place)
            except OSError as error:
                raise StateError(f"a vector at rest cannot be written: {error}") from error


class AtRest:
    """A flat vector in a file; its slices, of step 1, are copies that are read from there.

    To set a slice writes it, in a file that is open for that.

    Args:
        file: Where it lies.
        start: Its first byte there.
        kind: Of its numbers.
        length: How many they are.
    """

    def __init__(self, file: Opened, start: int, kind: np.dtype[Any], length: int) -> None:
        self._file, self._start = file, start
        self.dtype = kind
        self.shape = (length,)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> NDArray[Any]:
        start, end, _ = part.indices(len(self))
        found = np.empty(max(0, end - start), dtype=self.dtype)
        self._file.read(self._start + start * self.dtype.itemsize, found.view(np.uint8).data)
        return found

    def __setitem__(self, part: slice, numbers: NDArray[Any]) -> None:
        start, _, _ = part.indices(len(self))
        content = np.ascontiguousarray(numbers, dtype=self.dtype).view(np.uint8).data
        self._file.write(self._start + start * self.dtype.itemsize, content)

    def blocks(self) -> Iterator[memoryview]:
        """Its bytes, a few at a time."""
        numbers = _AT_ONCE // self.dtype.itemsize
        for start in range(0, len(self), numbers):
            yield self[start : start + numbers].view(np.uint8).data


def room(length: int, kind: np.dtype[Any], folder: Path) -> AtRest:
    """A vector to be written, in a file of `folder` that has no name and is gone with the object.

    Raises:
        StateError: the folder is not writable.
    """
    try:
        # Not synced: it is for this process alone.
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            opened = Opened(os.dup(file.fileno()))
    except OSError as error:
        raise StateError(f"{folder} cannot be written: {error}") from error
    return AtRest(opened, 0, kind, length)


def laid_down(vector: NDArray[Any], folder: Path) -> AtRest:
    """A vector as `room` makes it.

    Raises:
        StateError: the disk is full or not writable.
    """
    found = room(len(vector), vector.dtype, folder)
    found[:] = vector
    return found


def whole(vector: NDArray[Any] | AtRest) -> NDArray[Any]:
    """All of it, in memory."""
    return vector[:] if isinstance(vector, AtRest) else vector
