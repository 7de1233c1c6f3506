"""What the processes of a federation on this machine take: memory at most, processor time a round.

Found by their command lines, which name the federation's folder, and by who started them. Looked at
five times a second, so that a process that lives for less is missed.
"""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LOOK_S = 0.2


class Use(threading.Thread):
    """All processes of one folder, by a name for each kind.

    Args:
        folder: Named in the command lines of those that others descend from.
        kinds: Name by a part of the command line; the first that fits.
        rounds: How many rounds are over; None: the first has not begun.

    Attributes:
        before: Bytes that each kind had in memory when the first round began.
        peak: Bytes at most.
        done: Set, when it is to stop.
    """

    def __init__(
        self, folder: Path, kinds: Mapping[str, str], rounds: Callable[[], int | None]
    ) -> None:
        super().__init__(daemon=True)
        self._folder, self._kinds, self._rounds = str(folder), kinds, rounds
        self._spent: dict[str, tuple[str, float]] = {}
        self._at: dict[int, dict[str, float]] = {}
        self.before: dict[str, int] = {}
        self.peak: dict[str, int] = {}
        self.done = threading.Event()

    def run(self) -> None:
        """Look until it is done."""
        while not self.done.wait(_LOOK_S):
            over, sizes = self._rounds(), self._looked()
            for name, size in sizes.items():
                self.peak[name] = max(size, self.peak.get(name, 0))
            if over is None:
                self.before |= sizes
            else:
                self._at.setdefault(over, self._by_kind())

    def processor_s(self) -> dict[str, float]:
        """Seconds of a round after the first, by kind."""
        if len(rounds := sorted(number for number in self._at if number)) < 2:
            return {}
        first, last = self._at[rounds[0]], self._at[rounds[-1]]
        count = rounds[-1] - rounds[0]
        return {name: (spent - first.get(name, 0.0)) / count for name, spent in last.items()}

    def _by_kind(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, spent in self._spent.values():
            found[name] = found.get(name, 0.0) + spent
        return found

    def _looked(self) -> dict[str, int]:
        """Memory by kind; what each process has spent is noted."""
        seen: dict[str, tuple[str, list[str], str]] = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                stat = (path / "stat").read_text().rpartition(")")[2].split()
                pages = (path / "statm").read_text().split()[1]
            except (OSError, UnicodeDecodeError):
                continue
            seen[path.name] = (line, stat, pages)
        sizes: dict[str, int] = {}
        for number, (line, stat, pages) in seen.items():
            if not self._ours(number, seen):
                continue
            name = next((kind for kind, part in self._kinds.items() if part in line), "others")
            if _is_starting(line, int(pages), seen.get(stat[1])):
                continue
            sizes[name] = sizes.get(name, 0) + int(pages) * _PAGE
            self._spent[number] = name, (int(stat[11]) + int(stat[12])) / _TICKS
        return sizes

    def _ours(self, number: str, seen: Mapping[str, tuple[str, list[str], str]]) -> bool:
        while number in seen and number != str(os.getpid()):
            line, stat, _ = seen[number]
            if self._folder in line:
                return True
            number = stat[1]
        return False


def _is_starting(line: str, pages: int, parent: tuple[str, list[str], str] | None) -> bool:
    """Whether a process is about to become another program: its memory still is its parent's."""
    return parent is not None and parent[0] == line and abs(pages - int(parent[2])) < pages / 100
