"""Processes that die by SIGKILL at a named point: forks of the test's own, warm and so fast.

A point wraps a function of the product in the process that is to die, and nowhere else: there is
no hook for it in what is shipped.
"""

import importlib
import os
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.config import Scalar

WHOLE = os.environ.get("MURMURA_FAULTS") == "whole"
SEEDS: tuple[Scalar, ...] = (11, 12, 13) if WHOLE else (11,)
Condition = Callable[..., bool]
Install = Callable[[], None]


def always(*_given: Any, **_named: Any) -> bool:
    """At the first passage."""
    return True


def die() -> None:
    """At once, as by `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def wrap(target: str, replace: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Put what `replace` makes of `target`, "module:Class.name", in its place."""
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    setattr(owner, name, replace(getattr(owner, name)))


def before(target: str, condition: Condition = always) -> Install:
    """Die when `target` is called so that `condition` holds, before anything of it is done."""
    return lambda: wrap(target, lambda inner: _dying(inner, condition, late=False))


def after(target: str, condition: Condition = always) -> Install:
    """Die once all of it is done."""
    return lambda: wrap(target, lambda inner: _dying(inner, condition, late=True))


def _dying(inner: Callable[..., Any], condition: Condition, *, late: bool) -> Callable[..., Any]:
    def dying(*given: Any, **named: Any) -> Any:
        due = condition(*given, **named)
        if due and not late:
            die()
        found = inner(*given, **named)
        if due:
            die()
        return found

    return dying


def torn_append(target: str, name: str, condition: Condition = always) -> Install:
    """Die while a line is appended to the file `name`: half of it is there.

    Args:
        target: A function whose arguments, with those of a method's object left out, are the file
            and what is appended, or `RunFolder.append_line`.
        name: Of the file.
        condition: Of the arguments.
    """

    def tear(inner: Callable[..., Any]) -> Callable[..., Any]:
        def torn(*given: Any, **named: Any) -> Any:
            path = next(_paths(given), Path())
            if path.name != name or not condition(*given, **named):
                return inner(*given, **named)
            size = path.stat().st_size if path.exists() else 0
            found = inner(*given, **named)
            whole = path.stat().st_size
            os.truncate(path, size + (whole - size) // 2)
            die()
            return found

        return torn

    return lambda: wrap(target, tear)


def _paths(given: tuple[Any, ...]) -> Any:
    if hasattr(given[0], "file"):
        yield given[0].file(given[1])
    yield from (entry for entry in given if isinstance(entry, Path))


def nth(count: int, condition: Condition = always) -> Condition:
    """`condition`, the `count`-th time it holds."""
    passed = [0]

    def holds(*given: Any, **named: Any) -> bool:
        passed[0] += bool(condition(*given, **named))
        return passed[0] == count and condition(*given, **named)

    return holds


def in_child(work: Callable[[], object]) -> int:
    """The status with which a fork ends that does `work`; negative: the signal's number."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:  # noqa: BLE001 - it is shown, and the process ends
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def dies(work: Callable[[], object], install: Install) -> None:
    """A fork does `work` and is killed at the point that `install` sets up."""

    def doomed() -> None:
        install()
        work()

    status = in_child(doomed)
    assert status == -signal.SIGKILL, f"expected death by SIGKILL, got status {status}"


def finishes(work: Callable[[], object]) -> None:
    """A fork does `work` to its end."""
    status = in_child(work)
    assert status == 0, f"expected an end, got status {status}"


Points = dict[str, Install]
