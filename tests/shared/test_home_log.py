"""What a home's processes enter: one chain, whoever writes, and no flood of refusals."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from shared.audit_check import verify
from shared.errors import ConfigurationError, StateError
from shared.home_log import REFUSALS_A_MINUTE, HomeLog
from tests.shared.audit_logs import KEY, PUBLIC

ROOT = Path(__file__).parents[2]
WRITER = """
import sys
from pathlib import Path
from shared.home_log import HomeLog
from tests.shared.audit_logs import KEY
log = HomeLog(Path(sys.argv[1]), lambda: KEY)
for number in range(20):
    log("left", kind="train", run="1", round=number, attempt=1, bytes=5, sha256="ab" * 32)
"""


def entries(path: Path) -> list[dict[str, object]]:
    """What stands in the log."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_nothing_is_touched_before_the_first_entry(tmp_path: Path) -> None:
    """Neither disk nor key: a home may not be there yet."""
    path = tmp_path / "home" / "audit.jsonl"
    log = HomeLog(path, lambda: KEY)
    assert not path.parent.exists()
    path.parent.mkdir()
    log("started", pid=1)
    assert verify(path, PUBLIC).head.n == 1


def test_several_processes_and_threads_write_one_chain(tmp_path: Path) -> None:
    """Commands, a service and what it serves append as they come."""
    path = tmp_path / "audit.jsonl"
    command = [sys.executable, "-c", WRITER, str(path)]
    others = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]  # noqa: S603 - our own
    log = HomeLog(path, lambda: KEY)

    def writes() -> None:
        for number in range(20):
            log("started", pid=number)

    threads = [threading.Thread(target=writes) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [other.wait() for other in others] == [0, 0]
    found = verify(path, PUBLIC)
    assert (found.intact, found.head.n) == (True, 80)


def test_a_flood_of_refusals_is_counted_and_not_written(tmp_path: Path) -> None:
    """So many a minute; the next one that is entered says how many were not; others pass."""
    path, now = tmp_path / "audit.jsonl", [0.0]
    log = HomeLog(path, lambda: KEY, clock=lambda: now[0])
    for _ in range(1000):
        log("refused", reason="token_unknown")
    log("started", pid=1)
    assert len(entries(path)) == REFUSALS_A_MINUTE + 1
    now[0] = 61.0
    log("refused", reason="token_unknown")
    log("refused", reason="token_used")
    *_, first, second = entries(path)
    assert first["detail"] == {
        "reason": "token_unknown",
        "unrecorded_before": 1000 - REFUSALS_A_MINUTE,
    }
    assert second["detail"] == {"reason": "token_used"}


def test_what_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A folder in its place, another key's log, a field that is not declared."""
    (tmp_path / "folder" / "audit.jsonl").mkdir(parents=True)
    with pytest.raises(StateError):
        HomeLog(tmp_path / "folder" / "audit.jsonl", lambda: KEY)("started", pid=1)
    path = tmp_path / "audit.jsonl"
    HomeLog(path, lambda: KEY)("started", pid=1)
    path.write_bytes(path.read_bytes().replace(b'"pid":1', b'"pid":2'))
    with pytest.raises(StateError, match="damaged"):
        HomeLog(path, lambda: KEY)("started", pid=1)
    with pytest.raises(ConfigurationError):
        HomeLog(tmp_path / "other.jsonl", lambda: KEY)("started", pid=-1)
