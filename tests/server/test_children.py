"""Children: started with nothing that changes them, ended with all they started."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from server.children import (
    Child,
    child_environment,
    end_child,
    keep_small,
    last_line,
    log_of,
    start_child,
)
from server.home import ServerHome
from shared.errors import StateError


@pytest.fixture
def home(tmp_path: Path) -> ServerHome:
    """With a folder for logs."""
    (tmp_path / "logs").mkdir()
    return ServerHome(tmp_path)


def python(home: ServerHome, code: str) -> Child:
    """A child that runs `code`."""
    command = [sys.executable, "-u", "-c", code]
    child = Child("child", lambda: start_child(home, "child", command, {}, subprocess.DEVNULL))
    child.process = child.start()
    return child


def log_has(home: ServerHome, word: str) -> str:
    """The child's log, once it has said a word."""
    deadline = time.monotonic() + 20
    while word not in (text := log_of(home, "child").read_text()):
        assert time.monotonic() < deadline, text
        time.sleep(0.01)
    return text


def gone(pid: int) -> bool:
    """Whether a process is no more, or is only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


def test_a_child_ends_with_all_it_started(home: ServerHome) -> None:
    """Grandchildren too, and those that do not listen."""
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "inner = 'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print(1); time.sleep(60)'\n"
        "p = subprocess.Popen([sys.executable, '-c', inner])\n"
        "print('started', p.pid, 'end'); time.sleep(60)\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("server.children._STOP_S", 0.2)
        child = python(home, code)
        inner = int(log_has(home, " end").split()[1])
        assert child.process is not None
        pid = child.process.pid
        end_child(child)
    assert child.process is None
    assert gone(pid)
    deadline = time.monotonic() + 10
    while not gone(inner) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(inner)
    end_child(child)


def test_a_child_that_listens_is_only_asked(home: ServerHome) -> None:
    """It ends as it wants to."""
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('bye'), sys.exit(0)))\n"
        "print('ready'); time.sleep(60)\n"
    )
    child = python(home, code)
    log_has(home, "ready")
    process = child.process
    assert process is not None
    end_child(child)
    assert process.returncode == 0
    assert "bye" in log_of(home, "child").read_text()


def test_its_files_are_its_owners_alone(home: ServerHome) -> None:
    """Log and whatever it makes; it works in the home."""
    child = python(home, "open('made', 'w').close(); print('done')")
    log_has(home, "done")
    end_child(child)
    for path in (home.root / "made", log_of(home, "child")):
        assert path.stat().st_mode & 0o077 == 0


def test_what_cannot_be_started_is_said(home: ServerHome) -> None:
    """With its name."""
    with pytest.raises(StateError, match="no-such-command"):
        start_child(home, "child", ["/no-such-command"], {}, subprocess.DEVNULL)


def test_flower_calls_nobody_and_is_told_nothing_else(
    home: ServerHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No variable of the user's reaches it that would open another port or another door."""
    monkeypatch.setenv("FLWR_INTERNAL_GRPC_CONTROL_API", "1")
    monkeypatch.setenv("FLWR_OIDC_ENABLED", "1")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("LANG", "C.UTF-8")
    environment = child_environment(home)
    assert {key: value for key, value in environment.items() if key.startswith("FLWR_")} == {
        "FLWR_HOME": str(home.state / "flower"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "FLWR_SUPEREXEC_TASK_POLL_INTERVAL": "0.2",
    }
    assert "PYTHONPATH" not in environment
    assert environment["LANG"] == "C.UTF-8"
    assert environment["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
    assert environment["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_a_log_that_grew_is_put_aside_and_its_writer_goes_on(tmp_path: Path) -> None:
    """One older part is kept."""
    path = tmp_path / "x.log"
    keep_small(path, 10)
    with path.open("a") as writer:
        writer.write("short\n")
        writer.flush()
        keep_small(path, 10)
        assert path.read_text() == "short\n"
        writer.write("and longer\n")
        writer.flush()
        keep_small(path, 10)
        writer.write("new\n")
    assert path.read_text() == "new\n"
    assert (tmp_path / "x.log.1").read_text() == "short\nand longer\n"


def test_the_last_line_is_one_that_says_something(tmp_path: Path) -> None:
    """Or that there is none."""
    path = tmp_path / "x.log"
    assert "is empty" in last_line(path)
    path.write_bytes(b"one\n\xff two \n\n")
    assert last_line(path) == "\ufffd two"
