"""The ends of log files, once or as they grow."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path

from shared.log_lines import readable

_LOOK_S = 0.3


def last_lines(path: Path, count: int) -> list[str]:
    """The last `count` lines; none where there is no file."""
    try:
        with path.open(errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=max(0, count))]
    except FileNotFoundError:
        return []


def follow_logs(
    paths: Mapping[str, Path],
    say: Callable[[str], object],
    *,
    until: Callable[[], bool] = lambda: False,
) -> None:
    """Say each new line with its file's name, until the user, or `until`, ends it.

    Args:
        paths: By name.
        say: Is given one line at a time.
        until: Looked at between two looks at the files.
    """
    places = {name: _size(path) for name, path in paths.items()}
    while not until():
        for name, path in paths.items():
            size = _size(path)
            if size < places[name]:  # it was moved aside
                places[name] = 0
            if size > places[name]:
                places[name] = _say_whole_lines(name, path, places[name], say)
        time.sleep(_LOOK_S)


def _say_whole_lines(name: str, path: Path, start: int, say: Callable[[str], object]) -> int:
    with path.open("rb") as file:
        file.seek(start)
        whole, newline, _ = file.read().rpartition(b"\n")
    for line in whole.split(b"\n") if newline else []:
        say(f"{name}: {readable(line.decode(errors='replace'))}")
    return start + len(whole) + len(newline)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
