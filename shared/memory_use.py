"""What a process that runs for months asks of its C library: memory that was freed goes back.

Where many threads allocate, glibc gives each an arena of its own and keeps what they freed: the
resident memory of a server then follows the worst moment of every thread instead of what is held.
"""

import ctypes
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # malloc.h
_ARENAS, _LARGE = 2, 1 << 20
# Cost: a megabyte alone would be returned, and asked for anew, around each piece of a large vector.
_LEFT = 1 << 23


def hold_little() -> bool:
    """Two arenas for all threads, and every block of 1 MiB or more returned when it is freed.

    Of smaller ones at most 8 MiB at the end of an arena stay, and what lies between others in use.

    To be called before other threads begin. Returns False where the C library has no such
    settings (not glibc): then nothing is changed.

    Source: mallopt(3).
    """
    with suppress(AttributeError, OSError):
        change = ctypes.CDLL(None).mallopt
        settings = {_ARENA_MAX: _ARENAS, _MMAP_THRESHOLD: _LARGE, _TRIM_THRESHOLD: _LEFT}
        made = [bool(change(name, value)) for name, value in settings.items()]
        return all(made)
    return False


def give_back() -> None:
    """Return to the system whatever the allocator keeps for later; milliseconds."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
