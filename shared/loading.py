"""Modules are loaded without looking for garbage: they make much, and drop hardly any of it.

torch, Opacus and Flower bring half a million objects. Python looks through all of them again and
again while it loads them, and three times more at its end: two fifths of the processor time of a
process that answers one message.
"""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache


@contextmanager
def loading() -> Iterator[None]:
    """Inside, garbage is not looked for; afterwards it is as before, also after an error.

    The end of this process is as of `end_at_once`.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
        end_at_once()


@cache  # once a process
def end_at_once() -> None:
    """What is there at the end of this process is not looked through: the system gets it back.

    Who needs a finaliser to run then says so (`weakref.finalize`, `atexit`).
    """
    atexit.register(gc.freeze)
