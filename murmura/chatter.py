"""Keeps the log lines of libraries off the terminal; warnings and errors of ours are shown."""

import logging
import sys


def quieten_libraries(*, debug: bool) -> None:
    """Let libraries log to the terminal only with `debug`; loggers are set, no warning is hidden.

    Opacus calls `logging.basicConfig` when it is imported, which gives the root logger a handler
    and makes every line of Flower's appear twice: a root logger that has one is left alone. Flower
    sets its own level when it is imported, so it is imported here first.
    """
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler(sys.stderr) if debug else logging.NullHandler())
    if debug:
        root.setLevel(logging.INFO)
    else:
        _show_our_warnings()
    import flwr.common.logger  # noqa: F401, PLC0415 - slow: only once a run is sure to start

    flower = logging.getLogger("flwr")
    flower.propagate = False
    flower.setLevel(logging.INFO if debug else logging.CRITICAL)


def _show_our_warnings() -> None:
    ours = logging.getLogger("murmura")
    if not any(isinstance(handler, _ShownOnStderr) for handler in ours.handlers):
        ours.addHandler(_ShownOnStderr())


class _ShownOnStderr(logging.Handler):
    """Writes warnings to whatever stderr is at that moment: the live picture redirects it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{record.levelname.lower()}: {record.getMessage()}\n")
