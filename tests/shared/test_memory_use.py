"""A process that runs for months gives memory back, where the C library can be asked to."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from shared import memory_use

_HEAP = 64 << 20  # glibc's arenas beside the first lie at multiples of it

# Eight threads at once each take one small block; how many arenas do the blocks lie in?
_ARENAS_OF_EIGHT_THREADS = f"""
import ctypes, sys, threading
from shared.memory_use import hold_little
if sys.argv[1] == "held":
    assert hold_little()
malloc = ctypes.CDLL(None).malloc
malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
found, all_here = [], threading.Barrier(8)
def take():
    all_here.wait()
    found.append(malloc(100))
    all_here.wait()
threads = [threading.Thread(target=take) for _ in range(8)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
print(len({{address // {_HEAP} for address in found}}))
"""


def _arenas(held: str) -> int:
    command = [sys.executable, "-c", _ARENAS_OF_EIGHT_THREADS, held]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)  # noqa: S603 - our own


def test_threads_share_two_arenas() -> None:
    """Eight threads allocate from two arenas at most; without the settings from more."""
    assert _arenas("held") <= 2 < _arenas("free")


def test_memory_is_given_back() -> None:
    """What was freed below a block that is still held goes back to the system."""
    library = ctypes.CDLL(None)
    malloc, free = library.malloc, library.free
    malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    free.restype, free.argtypes = None, [ctypes.c_void_p]
    blocks = [malloc(1 << 15) for _ in range(4000)]
    for block in blocks:
        ctypes.memset(block, 1, 1 << 15)
    held = _resident()
    for block in blocks[:-1]:
        free(block)
    memory_use.give_back()
    given_back = held - _resident()
    free(blocks[-1])
    assert given_back > (100 << 20)


@pytest.mark.parametrize("lack", [OSError, AttributeError])
def test_another_library_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, lack: type[Exception]
) -> None:
    """Where the C library has no such settings, nothing happens and nothing fails."""

    def refuse(_name: object) -> object:
        raise lack

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert not memory_use.hold_little()
    memory_use.give_back()


def test_settings_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the three settings is asked for, and one that is refused is told."""
    asked = dict[int, int]()

    class Library:
        def mallopt(self, name: int, value: int) -> int:
            asked[name] = value
            return int(name != -8)

    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Library())
    assert not memory_use.hold_little()
    assert asked == {-8: 2, -3: 1 << 20, -1: 1 << 20}


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
