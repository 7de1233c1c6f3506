"""One JSON object a line for programs, and the same line for people."""

import json
import logging
import traceback
from datetime import UTC, datetime
from typing import Any


class JsonLines(logging.Formatter):
    """Each record is one line {time, level, logger, event}, whatever its text holds.

    An exception's class and text go into `why`, where it was raised too into `error`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        content = {
            "time": when,
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            raised = traceback.format_exception_only(record.exc_info[1])
            content["why"] = " ".join("".join(raised).split())
            content["error"] = self.formatException(record.exc_info)
        return json.dumps(content)


def log_json(level: int = logging.INFO) -> None:
    """This process's log goes to standard error in that form; Flower's too."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler])


def readable(line: str) -> str:
    """A line of a log for people, of an exception its text alone; another line stays as it is.

    >>> readable('{"time": "t", "level": "info", "logger": "x", "event": "served"}')
    't info served'
    """
    try:
        found: Any = json.loads(line)
        words = [str(found[key]) for key in ("time", "level", "event")]
    except (ValueError, TypeError, KeyError, RecursionError):
        return line
    # An older log has no `why`: an exception's last line mostly says it.
    why = found.get("why") or "".join(str(found.get("error", "")).splitlines()[-1:])
    return " ".join([*words, str(why)]).rstrip()
