"""What is kept of every round: metrics.jsonl, TensorBoard events, log.txt."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from server.progress import RoundFinished
from server.run_folder import RunFolder
from shared.errors import StateError

METRICS = "metrics.jsonl"
_SHOWN = (
    "loss", "accuracy", "private_loss", "private_accuracy", "epsilon", "seconds", "answered",
)  # fmt: skip


class Recorder:
    """Appends each round's numbers; on a resumed run first drops those of unfinished rounds.

    Args:
        folder: Where to.
        first_round: The round that comes next.
        tensorboard: Whether to write TensorBoard events too.

    Raises:
        StateError: what is there cannot be read, or the folder cannot be written.
    """

    def __init__(self, folder: RunFolder, *, first_round: int, tensorboard: bool) -> None:
        self._folder = folder
        try:
            before = folder.read_lines(METRICS)
            kept = [line for line in before if line["round"] < first_round]
            self.accuracy_by_round: list[tuple[int, float]] = [
                (line["round"], line["accuracy"]) for line in kept if line["accuracy"] is not None
            ]
        except (KeyError, TypeError) as error:
            raise StateError(f"{folder.file(METRICS)} holds a line of another form") from error
        folder.rewrite_lines(METRICS, kept)
        self._writer: Any = None
        if tensorboard:
            # Slow to import, and not needed on a node.
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415

            path = folder.file("tensorboard")
            try:
                self._writer = SummaryWriter(str(path), purge_step=first_round if before else None)
            except OSError as error:
                raise StateError(f"{path} cannot be written: {error}") from error

    def record(self, event: RoundFinished) -> None:
        """Keep one round's numbers; what is not finite is the text "inf" or "nan"."""
        line = {
            "round": event.round_number,
            "asked": event.asked,
            "answered": event.answered,
            "lost": event.lost,
            "loss": _writable(event.loss),
            "accuracy": event.accuracy,
            "private_loss": event.private_loss,
            "private_accuracy": event.private_accuracy,
            "epsilon": _writable(event.epsilon),
            "seconds": round(event.seconds, 4),
            "rejected": event.rejected,
            "quarantined": list(event.quarantined),
            "metrics": {name: _writable(value) for name, value in event.metrics.items()},
        }
        self._folder.append_line(METRICS, line, durable=False)
        if event.accuracy is not None:
            self.accuracy_by_round.append((event.round_number, event.accuracy))
        if self._writer is not None:
            for name in _SHOWN:
                if isinstance(line[name], int | float):
                    self._writer.add_scalar(name, line[name], event.round_number)
            for name, value in event.metrics.items():
                if name not in _SHOWN and math.isfinite(value):
                    self._writer.add_scalar(f"metrics/{name}", value, event.round_number)

    def close(self) -> None:
        """Flush TensorBoard's events."""
        if self._writer is not None:
            self._writer.close()


def _writable(value: float | None) -> float | str | None:
    """`value` as strict JSON."""
    return value if value is None or math.isfinite(value) else str(value)


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Within it, what Murmura logs is appended to `path` as well.

    Raises:
        StateError: `path` cannot be written.
    """
    try:
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error}") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("murmura")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
        handler.close()
