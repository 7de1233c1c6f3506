"""What is kept of every round: metrics.jsonl, log.txt, and whatever sinks are asked for."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from server.progress import RoundFinished
from server.run_folder import RunFolder, private
from server.sinks.figures import figures
from server.sinks.opening import open_sinks
from shared.config import RunConfig
from shared.errors import StateError

METRICS = "metrics.jsonl"


class Recorder:
    """Appends each round's numbers; on a resumed run first drops those of unfinished rounds.

    Args:
        folder: Where to.
        first_round: The round that comes next.
        config: The run's, which says where else figures go.

    Raises:
        StateError: what is there cannot be read, or the folder or a sink cannot be written.
        ConfigurationError: a sink needs an extra that is not installed.
    """

    def __init__(self, folder: RunFolder, *, first_round: int, config: RunConfig) -> None:
        self._folder = folder
        try:
            before = folder.read_lines(METRICS)
            kept = [line for line in before if line["round"] < first_round]
            self.accuracy_by_round: list[tuple[int, float]] = [
                (line["round"], line["accuracy"]) for line in kept if line["accuracy"] is not None
            ]
            told = [(int(line["round"]), figures(line)) for line in kept]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StateError(f"{folder.file(METRICS)} holds a line of another form") from error
        folder.rewrite_lines(METRICS, kept)
        again = first_round if before else None
        self._sinks = open_sinks(config, folder, told, purge_from=again)

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
            "bytes_down": event.bytes_down,
            "bytes_up": event.bytes_up,
            "metrics": {name: _writable(value) for name, value in event.metrics.items()},
        }
        self._folder.append_line(METRICS, line, durable=False)
        if event.accuracy is not None:
            self.accuracy_by_round.append((event.round_number, event.accuracy))
        self._sinks.write(event.round_number, figures(line))

    def close(self) -> None:
        """Let the sinks finish."""
        self._sinks.close()


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
        with open(path, "ab", opener=private):
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
