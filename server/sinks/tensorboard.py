"""TensorBoard's events, in the run folder."""

from pathlib import Path
from typing import Any

from server.sinks.figures import Figures
from shared.errors import StateError


class TensorBoardSink:
    """Rounds that are played again after a resume replace what was written of them.

    Args:
        path: The folder of the events.
        purge_from: The first round that is played again; None where none was before.

    Raises:
        StateError: the folder cannot be written.
    """

    name = "TensorBoard"

    def __init__(self, path: Path, purge_from: int | None) -> None:
        # Slow to import, and not needed on a node.
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415

        try:
            self._writer: Any = SummaryWriter(str(path), purge_step=purge_from)
        except OSError as error:
            raise StateError(f"{path} cannot be written: {error}") from error

    def write(self, round_number: int, figures: Figures) -> None:
        """One scalar a figure."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, round_number)

    def close(self) -> None:
        """Flush the events."""
        self._writer.close()
