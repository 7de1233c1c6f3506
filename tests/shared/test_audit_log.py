"""An acknowledged entry is on disk and stays; a crash at any byte hides nothing."""

import base64
import errno
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from shared.audit_check import EMPTY, verify
from shared.audit_log import AuditLog
from shared.errors import ConfigurationError, StateError
from tests.shared.audit_logs import KEY, LEFT, PUBLIC, STRANGER, lines_of, opened, written


def test_an_entry_says_what_when_and_after_which(tmp_path: Path) -> None:
    """One line of JSON each, in a file of its owner's alone."""
    lines = [json.loads(line) for line in written(tmp_path, 2)]
    assert [line["n"] for line in lines] == [1, 2]
    assert lines[1]["previous"] == lines[0]["hash"]
    assert (lines[0]["event"], lines[0]["detail"]) == ("left", LEFT | {"round": 1})
    assert lines[0]["time"] == "2027-01-15T08:00:00.250+00:00"
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o777 == 0o600
    assert verify(tmp_path / "audit.jsonl", PUBLIC).head == opened(tmp_path).head


def test_an_empty_log_is_intact(tmp_path: Path) -> None:
    """And there is none without its folder."""
    assert opened(tmp_path).head == EMPTY
    assert verify(tmp_path / "audit.jsonl", PUBLIC).intact
    with pytest.raises(StateError, match="cannot be written"):
        opened(tmp_path / "nowhere")


def test_what_may_not_be_said_is_not_written(tmp_path: Path) -> None:
    """Refused before anything is on disk."""
    log = opened(tmp_path)
    with pytest.raises(ConfigurationError):
        log.append("refused", reason="the key of /data/x-rays is wrong")
    assert lines_of(tmp_path) == []


def test_two_that_share_a_log_take_turns(tmp_path: Path) -> None:
    """Each takes in what the other wrote, whatever it knew before."""
    one, other = opened(tmp_path), opened(tmp_path)
    for _ in range(3):
        one.append("revoked", site="a")
        other.append("revoked", site="b")
    sites = [json.loads(line)["detail"]["site"] for line in lines_of(tmp_path)]
    assert sites == ["a", "b"] * 3
    assert verify(tmp_path / "audit.jsonl", PUBLIC).head.n == 6


def test_two_processes_lose_nothing_to_each_other(tmp_path: Path) -> None:
    """Fifty entries each, at once."""
    children = []
    for name in ("a", "b"):
        child = os.fork()
        if not child:
            try:
                log = opened(tmp_path)
                for _ in range(50):
                    log.append("revoked", site=name)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    sites = [json.loads(line)["detail"]["site"] for line in lines_of(tmp_path)]
    assert (sites.count("a"), sites.count("b")) == (50, 50)
    assert verify(tmp_path / "audit.jsonl", PUBLIC).intact


def dying_after(taken: int) -> Callable[[int, bytes], int]:
    """An `os.write` that takes so many bytes, and then the machine stops."""
    real = os.write

    def write(file: int, data: bytes) -> int:
        real(file, data[:taken])
        raise OSError(errno.EIO, "Input/output error")

    return write


def test_a_crash_at_every_byte_of_a_write_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before: nothing is there; whole: it counts; else its bytes are kept by an entry."""
    before = written(tmp_path, 1)
    path = tmp_path / "audit.jsonl"
    probe = opened(tmp_path)
    probe.append("left", round=2, **LEFT)
    whole = lines_of(tmp_path)[1]
    for taken in range(len(whole) + 1):
        path.write_bytes(b"".join(before))
        log = opened(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr("os.write", dying_after(taken))
            with pytest.raises(StateError, match="cannot be written"):
                log.append("left", round=2, **LEFT)
        log.append("revoked", site="a")  # the process that saw the error goes on
        lines = lines_of(tmp_path)
        middle = [json.loads(line) for line in lines[1:-1]]
        if taken == len(whole):
            assert lines[1] == whole
        elif taken:
            assert middle[0]["event"] == "torn"
            assert base64.b64decode(middle[0]["detail"]["content"]) == whole[:taken]
            assert middle[0]["detail"]["bytes"] == taken
        assert len(middle) == bool(taken)
        assert lines[0] == before[0]
        assert verify(path, PUBLIC).head == opened(tmp_path).head == log.head


@pytest.mark.parametrize("call", ["os.open", "os.write", "os.fsync"])
def test_a_crash_while_a_torn_line_is_kept_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """At each of the steps: the torn bytes are still there, or in an entry already."""
    written(tmp_path, 2)
    path = tmp_path / "audit.jsonl"
    name, real = call.removeprefix("os."), getattr(os, call.removeprefix("os."))
    for place in range(1, 7):
        path.write_bytes(path.read_bytes() + b'{"torn')
        calls = 0

        def failing(*arguments: object, place: int = place) -> object:
            nonlocal calls
            calls += 1
            if calls == place:
                raise OSError(errno.EIO, "Input/output error")
            return real(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(os, name, failing)
            with suppress(StateError):
                opened(tmp_path)
        opened(tmp_path)
        kept = [json.loads(line) for line in lines_of(tmp_path)][-1]
        assert base64.b64decode(kept["detail"]["content"]) == b'{"torn'
        assert verify(path, PUBLIC).intact


def test_nothing_is_appended_to_a_log_that_was_changed(tmp_path: Path) -> None:
    """When it is opened, and while it is open; the file stays as it was found."""
    lines = written(tmp_path)
    path = tmp_path / "audit.jsonl"
    log = opened(tmp_path)
    stranger = AuditLog(tmp_path / "other.jsonl", STRANGER)
    stranger.append("revoked", site="a")
    foreign = (tmp_path / "other.jsonl").read_bytes()
    whole = b"".join(lines)
    for found in (whole + foreign, whole + lines[-1], whole + b"\n", whole + b"x" * 9000):
        path.write_bytes(found)
        for act in (lambda: opened(tmp_path), lambda: log.append("revoked", site="a")):
            with pytest.raises(StateError, match="damaged after entry 4"):
                act()
        assert path.read_bytes() == found
    path.write_bytes(b"".join(lines[:3]))
    with pytest.raises(StateError, match="became shorter"):
        log.append("revoked", site="a")
    path.unlink()
    with pytest.raises(StateError, match="cannot be written"):
        log.append("revoked", site="a")


def test_a_log_is_opened_with_its_own_key_alone(tmp_path: Path) -> None:
    """Another key would begin another history in the midst."""
    written(tmp_path, 1)
    with pytest.raises(StateError, match="another key signed"):
        AuditLog(tmp_path / "audit.jsonl", STRANGER)
    AuditLog(tmp_path / "audit.jsonl", KEY)
