"""A log line is one JSON object, whatever is logged; people read the same line."""

import json
import logging
import sys

import pytest

from shared.log_lines import JsonLines, log_json, readable


def record(text: str, *given: object, error: bool = False) -> logging.LogRecord:
    """What a logger hands to a formatter."""
    found = sys.exc_info() if error else None
    return logging.LogRecord("murmura.x", logging.WARNING, "", 1, text, given, found)


def test_each_record_is_one_object_on_one_line() -> None:
    """Line breaks and quotes of a peer's text are within it."""
    line = JsonLines().format(record("refused %s", 'a\n{"level": "info"}'))
    assert "\n" not in line
    found = json.loads(line)
    assert set(found) == {"time", "level", "logger", "event"}
    assert (found["level"], found["logger"]) == ("warning", "murmura.x")
    assert found["event"] == 'refused a\n{"level": "info"}'
    assert found["time"].endswith("+00:00")


def test_an_exception_is_on_the_same_line() -> None:
    """With where it was raised, which people are spared."""
    try:
        raise ValueError("why\nnot")
    except ValueError:
        line = JsonLines().format(record("failed", error=True))
    assert "\n" not in line
    found = json.loads(line)
    assert "ValueError: why" in found["error"]
    assert "Traceback" in found["error"]
    assert found["why"] == "ValueError: why not"
    assert readable(line) == f"{found['time']} warning failed ValueError: why not"
    older = {**found, "why": None, "error": "Traceback\nValueError: why"}
    assert readable(json.dumps(older)) == f"{found['time']} warning failed ValueError: why"


@pytest.mark.parametrize("line", ["plain words", "[1]", "3", '{"a": 1}', "", "{"])
def test_other_lines_are_shown_as_they_are(line: str) -> None:
    """Of processes that know nothing of it."""
    assert readable(line) == line


def test_a_process_logs_in_that_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """By one handler, of the root."""
    given: list[logging.Handler] = []
    monkeypatch.setattr(logging, "basicConfig", lambda **kept: given.extend(kept["handlers"]))
    log_json()
    [handler] = given
    assert isinstance(handler.formatter, JsonLines)
