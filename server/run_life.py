"""Whether a run's process has died: told by what it left in the run's folder, within seconds.

Flower misses a process a minute after its last sign of life. Until then it holds messages of a run
that nobody plays, and sites work on them while the resumed run waits.
"""

from collections.abc import Mapping
from pathlib import Path

from server.progress import RunFinished
from server.progress_file import Ended, Opened, ProgressReader
from server.run_folder import RunFolder
from shared.config import Scalar

_LOOKS = 3  # one process that ends by itself is given the time to say so


class RunLife:
    """The process of one run.

    Args:
        folder: The run's; need not be there yet.
        number: Flower's number of the run.
    """

    def __init__(self, folder: Path, number: str) -> None:
        self._folder, self._number = RunFolder(folder), number
        self._told = ProgressReader(folder, whole=True)
        self._begun = self._over = False
        self._newest = ""
        self._looks = 0

    def has_died(self) -> bool:
        """Whether it had begun, and is gone without a word; never before the third look.

        Raises:
            StateError: what it told cannot be read.
        """
        for event in self._told.new():
            if isinstance(event, Opened):
                self._newest = event.number
                self._begun = self._begun or event.number == self._number
                self._over = False
            elif isinstance(event, Ended | RunFinished):
                self._over = True
        # Whoever opened the folder after this process has had its lock since.
        another = self._newest != self._number
        gone = self._begun and (another or not (self._over or self._folder.is_held()))
        self._looks = self._looks + 1 if gone else 0
        return self._looks >= _LOOKS


def folder_in(settings: Mapping[str, Scalar]) -> Path | None:
    """The folder of a run with these settings; None: it chooses the name itself, or is not ours."""
    directory, name = settings.get("output.dir"), settings.get("output.run_id")
    return Path(str(directory)) / str(name) if directory and name else None
