"""Memory that a guard lends its worker: vectors as large as a model pass through it.

By the socket gRPC would make four copies of them in each direction. Here the guard writes the
parameters, the worker reads them where they are and writes the update behind them, and the guard
takes a copy of it. How long they are goes by the socket, as metadata of the call.
"""

import mmap
import os
import weakref
from typing import Any

SMALLEST = 1 << 20  # bytes; what is less goes within the message
LENGTH = "murmura-lent"  # how many bytes of the other side's lie there
_ONCE = 1 << 24


class LentMemory:
    """One block, which both processes know by a descriptor.

    Args:
        descriptor: Of a file that is on no disk; closed when nobody has this object any more.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        # Guarantee: not by whoever ends a worker over which another thread still waits: what that
        # one empties would be a file that was opened since, under the same number.
        weakref.finalize(self, os.close, descriptor)

    @classmethod
    def new(cls) -> "LentMemory | None":
        """An empty block; None where the system has no such files (it is not Linux)."""
        made = getattr(os, "memfd_create", None)
        return None if made is None else cls(made("murmura"))

    def put(self, content: memoryview, behind: int = 0) -> None:
        """`content` lies in the block, behind so many bytes of the other side's.

        Raises:
            OSError: there is not so much memory.
        """
        start = place = _place(behind)
        while place - start < len(content):
            place += os.pwrite(
                self.descriptor, content[place - start : place - start + _ONCE], place
            )

    def seen(self, length: int) -> memoryview:
        """The first `length` bytes, where they are: for a worker, which trusts its guard."""
        return memoryview(mmap.mmap(self.descriptor, length, access=mmap.ACCESS_READ))

    def taken(self, length: int, behind: int = 0) -> memoryview:
        """A copy of `length` bytes behind so many of one's own.

        Raises:
            ValueError: they are not there.
        """
        # Guarantee: what is checked is what is used. A worker may change the block at any time,
        # and cut it short, which would end a process that had mapped it.
        found = memoryview(bytearray(length))
        place = 0
        while place < length:
            part = found[place : place + _ONCE]
            read = os.preadv(self.descriptor, [part], _place(behind) + place)
            if not read:
                raise ValueError(f"expected {length} bytes in lent memory, got {place}")
            place += read
        return found

    def clear(self) -> None:
        """Nothing lies in the block, and it takes no memory."""
        os.ftruncate(self.descriptor, 0)


def told(metadata: Any) -> int:
    """The length that the other side tells; 0: nothing of it lies in the block.

    Raises:
        ValueError: it tells another thing.
    """
    for name, value in metadata or ():
        if name == LENGTH:
            length = int(value)
            if length < 0:
                raise ValueError(f"expected a length, got {length}")
            return length
    return 0


def _place(behind: int) -> int:
    return -(-behind // mmap.PAGESIZE) * mmap.PAGESIZE
