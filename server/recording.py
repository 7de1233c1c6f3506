"""What is kept of every round: metrics.jsonl, TensorBoard events, log.txt."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from server.progress import RoundFinished
from server.run_folder import RunFolder

METRICS = "metrics.jsonl"


class Recorder:
    """Appends each round's numbers; on a resumed run first drops those of unfinished rounds.

    Args:
        folder: Where to.
        first_round: The round that comes next.
        tensorboard: Whether to write TensorBoard events too.
    """

    def __init__(self, folder: RunFolder, *, first_round: int, tensorboard: bool) -> None:
        self._folder = folder
        kept = [line for line in folder.read_lines(METRICS) if line["round"] < first_round]
        folder.rewrite_lines(METRICS, kept)
        self.accuracy_by_round: list[tuple[int, float]] = [
            (line["round"], line["accuracy"]) for line in kept if line["accuracy"] is not None
        ]
        self._writer: Any = None
        if tensorboard:
            # Slow to import, and not needed on a node.
            from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415

            self._writer = SummaryWriter(
                str(folder.file("tensorboard")), purge_step=first_round if kept else None
            )

    def record(self, event: RoundFinished) -> None:
        """Keep one round's numbers; infinity is the text "inf"."""
        finite = event.epsilon if event.epsilon != float("inf") else "inf"
        line = {
            "round": event.round_number,
            "asked": event.asked,
            "answered": event.answered,
            "lost": event.lost,
            "loss": event.loss,
            "accuracy": event.accuracy,
            "epsilon": finite,
            "seconds": round(event.seconds, 4),
        }
        self._folder.append_line(METRICS, line, durable=False)
        if event.accuracy is not None:
            self.accuracy_by_round.append((event.round_number, event.accuracy))
        if self._writer is not None:
            for name in ("loss", "accuracy", "epsilon", "seconds", "answered"):
                if isinstance(line[name], int | float):
                    self._writer.add_scalar(name, line[name], event.round_number)

    def close(self) -> None:
        """Flush TensorBoard's events."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Within it, what Murmura logs is appended to `path` as well."""
    handler = logging.FileHandler(path, encoding="utf-8")
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
