"""Loading: nobody looks for garbage meanwhile, everybody may afterwards, and no end is held up."""

import atexit
import gc
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from shared.loading import end_at_once, loading


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], object]]]:
    """What is to be called at the end; a process that has not loaded anything before."""
    found: list[Callable[[], object]] = []
    monkeypatch.setattr(atexit, "register", found.append)
    end_at_once.cache_clear()
    yield found
    gc.enable()


def test_no_garbage_is_looked_for_while_modules_are_loaded() -> None:
    """But before and afterwards."""
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_an_import_that_fails_leaves_it_as_it_was() -> None:
    """A bundle without a module that it needs does not make its process grow for ever."""
    with pytest.raises(ModuleNotFoundError), loading():
        import nowhere  # type: ignore[import-not-found]  # noqa: F401
    assert gc.isenabled()


def test_who_looks_for_no_garbage_does_not_afterwards_either() -> None:
    """One that loads inside another that loads does not end it."""
    with loading():
        with loading():
            pass
        assert not gc.isenabled()


def test_the_end_is_told_once(registered: list[Callable[[], object]]) -> None:
    """However often something is loaded."""
    for _ in range(3):
        with loading():
            pass
    assert registered == [gc.freeze]


CYCLE = """
import gc
{first}
gc.disable()

class Heavy:
    def __del__(self):
        print("looked through")

heavy = Heavy()
heavy.itself = heavy
del heavy
"""


@pytest.mark.parametrize(
    ("first", "told"),
    [("", "looked through\n"), ("from shared.loading import end_at_once; end_at_once()", "")],
)
def test_at_its_end_a_process_looks_through_nothing(first: str, told: str) -> None:
    """Python would, for objects that nobody but themselves refers to."""
    command = [sys.executable, "-c", CYCLE.format(first=first)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    assert ended.stdout == told
