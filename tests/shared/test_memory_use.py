"""A process gives back what it frees, where its C library lets it."""

import ctypes
import gc
import mmap
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

from shared.memory_use import (
    Lone,
    give_back,
    hold_little,
    hold_parts,
    keep_for_good,
    let_go,
    used_up,
)

ROOT = Path(__file__).resolve().parents[2]
HELD = """
import re
from shared.memory_use import give_back, hold_little
assert hold_little()
blocks = [bytes(200_000) + bytes(1) for _ in range(500)]
del blocks
give_back()
print(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


_HEAP = 64 << 20  # glibc's arenas beside the first lie at multiples of it

# Eight threads at once each take one small block; how many arenas do the blocks lie in? The first
# arena's may lie on both sides of such a multiple.
_ARENAS_OF_EIGHT_THREADS = f"""
import ctypes, re, sys, threading
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
first = re.search(r"(\\w+)-(\\w+) .*\\[heap\\]", open("/proc/self/maps").read())
low, high = (int(place, 16) for place in first.groups())
print(len({{0 if low <= place < high else place // {_HEAP} for place in found}}))
"""


def _arenas(held: str) -> int:
    command = [sys.executable, "-c", _ARENAS_OF_EIGHT_THREADS, held]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)  # noqa: S603 - our own


def test_threads_share_two_arenas() -> None:
    """Eight threads allocate from two arenas at most; without the settings from more."""
    assert _arenas("held") <= 2 < _arenas("free")


def test_what_is_freed_is_given_back() -> None:
    """Of a hundred megabytes in many blocks next to nothing is left."""
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", HELD], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 50_000  # KiB


class Own:
    """Refers to itself."""

    def __init__(self) -> None:
        self.own = self


def test_what_only_refers_to_itself_is_let_go() -> None:
    """What came since the process began; what was there before is not looked through."""
    gc.disable()
    try:
        before = weakref.ref(kept := Own())
        keep_for_good()
        found = weakref.ref(Own())
        del kept
        assert found() is not None
        let_go()
        assert found() is None
        assert before() is not None
    finally:
        gc.unfreeze()
        gc.enable()


class Library:
    """A C library that notes what it is told, and answers `says`."""

    def __init__(self, says: int) -> None:
        self.says = says
        self.told: list[tuple[int, ...]] = []

    def mallopt(self, name: int, value: int) -> int:
        """A setting."""
        self.told.append((name, value))
        return self.says

    def malloc_trim(self, left: int) -> None:
        """Give back."""
        self.told.append((left,))


@pytest.mark.parametrize("says", [0, 1])
def test_every_setting_is_made(monkeypatch: pytest.MonkeyPatch, says: int) -> None:
    """Also where one is refused, and it says so."""
    library = Library(says)
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: library)
    assert hold_little() == bool(says)
    give_back()
    assert len(library.told) == 4
    assert hold_parts() == bool(says)
    assert len(library.told) == 7


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has no such settings."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert not hold_little()
    assert not hold_parts()
    give_back()


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * mmap.PAGESIZE / (1 << 20)


def test_what_is_used_up_is_not_in_memory_any_more() -> None:
    """All but the pages at its ends; what lies before and behind it stays what it was."""
    length = 16 << 20
    content = Lone(np.ones(length, dtype="<f4").tobytes())
    view = memoryview(content).toreadonly()[mmap.PAGESIZE // 2 :]
    numbers = np.frombuffer(view, dtype="<f4")
    before = _resident_mib()
    used_up(numbers[8:], length - 4096, 4096)
    assert before - _resident_mib() > 60
    assert (numbers[: 8 + 4096] == 1).all()
    assert (numbers[8 + length - 4096 :] == 1).all()
    used_up(numbers, 10, 5)  # less than a page: nothing
    assert (numbers[:10] == 1).all()


@pytest.mark.parametrize("kind", [bytearray, bytes])
def test_what_others_may_read_is_never_used_up(kind: type[bytes] | type[bytearray]) -> None:
    """Bytes and arrays of anybody stay what they are."""
    content = kind(np.ones(1 << 16, dtype="<f4").tobytes())
    for numbers in (np.frombuffer(content, dtype="<f4"), np.ones(1 << 16, dtype="<f4")):
        used_up(numbers[1:], 1 << 15)
        assert (numbers == 1).all()


def test_without_the_c_library_s_call_everything_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """No error, and the numbers are there."""
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    content = Lone(np.ones(1 << 16, dtype="<f4").tobytes())
    numbers = np.frombuffer(content, dtype="<f4")
    used_up(numbers, 1 << 16)
    assert (numbers == 1).all()
