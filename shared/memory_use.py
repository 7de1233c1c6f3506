"""What a process that runs for months asks of its C library: memory that was freed goes back.

Where many threads allocate, glibc gives each an arena of its own and keeps what they freed: the
resident memory of a server then follows the worst moment of every thread instead of what is held.
"""

import ctypes
import gc
import mmap
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from numpy.typing import NDArray

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # malloc.h
_ARENAS, _LARGE = 2, 1 << 20
# Cost: a megabyte alone would be returned, and asked for anew, around each piece of a large vector.
_LEFT = 1 << 23
_PART, _KEPT = 1 << 22, 1 << 25  # Flower's part of an array is of 5 MiB

# Of an environment, before a process begins: large blocks get large pages, where Linux has some for
# who asks. Cost: to get a page is half of what it takes to copy a part of a model to a new place.
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def hold_parts() -> bool:
    """For whoever computes: parts of a large vector go back when freed, what is smaller stays.

    Two arenas for all threads; blocks of 4 MiB or more returned, 32 MiB of others kept for later.
    To be called before other threads begin. Returns False where the C library has no such
    settings (not glibc): then nothing is changed.
    """
    return _set({_ARENA_MAX: _ARENAS, _MMAP_THRESHOLD: _PART, _TRIM_THRESHOLD: _KEPT})


def hold_little() -> bool:
    """Two arenas for all threads, and every block of 1 MiB or more returned when it is freed.

    Of smaller ones at most 8 MiB at the end of an arena stay, and what lies between others in use.
    To be called, and what is returned, as of `hold_parts`.

    Source: mallopt(3).
    """
    return _set({_ARENA_MAX: _ARENAS, _MMAP_THRESHOLD: _LARGE, _TRIM_THRESHOLD: _LEFT})


class Lone(bytearray):
    """What has one reader: as soon as he is done with a part of it, `used_up` may take that away.

    Reading it after that is no error, and gives zeros or what was there.
    """


def used_up(vector: NDArray[Any], end: int, start: int = 0) -> None:
    """Numbers from `start` to `end` of `vector` are read for the last time: their memory goes back.

    Nothing happens to what lies in anything but `Lone`, for it may have other readers.

    Source: madvise(2), MADV_DONTNEED on private memory without a file.
    """
    if not isinstance(_root(vector), Lone):
        return
    first = vector.__array_interface__["data"][0]
    page, width = mmap.PAGESIZE, vector.itemsize
    begin = -(-(first + start * width) // page) * page
    length = (first + end * width) // page * page - begin
    with suppress(AttributeError, OSError):
        if length > 0:
            ctypes.CDLL(None).madvise(
                ctypes.c_void_p(begin), ctypes.c_size_t(length), mmap.MADV_DONTNEED
            )


def _root(vector: Any) -> object:
    """Whose memory a contiguous vector lies in."""
    while (base := getattr(vector, "base", None)) is not None:
        vector = base
    return vector.obj if isinstance(vector, memoryview) else vector


def _set(settings: Mapping[int, int]) -> bool:
    with suppress(AttributeError, OSError):
        change = ctypes.CDLL(None).mallopt
        made = [bool(change(name, value)) for name, value in settings.items()]
        return all(made)
    return False


def let_go() -> None:
    """Drop what nobody but itself refers to, and give it back.

    Flower's records refer to themselves: a model in one stays until somebody looks for such things.
    """
    gc.collect()
    give_back()


def keep_for_good() -> None:
    """What is here now is not looked through by `let_go`: for whoever has just begun."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Return to the system whatever the allocator keeps for later; milliseconds."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
