"""The service: one a home, its children alive or their death told, and an end within seconds."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from server import service as module
from server.children import start_child
from server.founding import found
from server.home import LISTENING, SERVICE, ServerHome
from server.service import Service, running_pid, stop_running
from shared.durable import read_json
from shared.errors import FederationError, StateError
from tests.server.served import SETTINGS

# What the real ones do that the service can see: one tells where it listens, both live on.
SERVING = """
import json, os, sys, time
assert len(bytes.fromhex(sys.stdin.readline())) == 32
path = sys.argv[1]
open(path + '.new', 'w').write(json.dumps(
    {'pid': os.getpid(), 'internal': 5, 'public': [['127.0.0.1', 6]]}))
os.rename(path + '.new', path)
sys.stdin.read()
"""
DYING = "import sys; sys.stdin.readline(); print('the reason'); sys.exit(3)"
LIVING = "import time; time.sleep(60)"


class Pretended(Service):
    """A service whose children only pretend."""

    serving, superexec = SERVING, LIVING

    def _start_serving(self) -> "subprocess.Popen[bytes]":
        command = [
            sys.executable, "-c", self.serving, str(self._home.state / LISTENING),
        ]  # fmt: skip
        process = start_child(self._home, "serving", command, {}, subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(self._object_key.hex().encode() + b"\n")
        process.stdin.flush()
        return process

    def _start_superexec(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-c", self.superexec]
        return start_child(self._home, "superexec", command, {}, subprocess.DEVNULL)


@pytest.fixture
def home(tmp_path: Path) -> ServerHome:
    """A new server's."""
    made = ServerHome(tmp_path / "home")
    found(made, SETTINGS)
    return made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_S", 0.01)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(module, "_LOCK_S", 0.0)


@contextmanager
def running(service: Service) -> Iterator[dict[str, Any]]:
    """The service in a thread, once it is ready; what it told."""
    facts: dict[str, Any] = {}
    failures: list[BaseException] = []
    ready = threading.Event()

    def tell(told: Any) -> None:
        facts.update(told)
        ready.set()

    def run() -> None:
        try:
            service.run(tell)
        except FederationError as error:
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(30)
    try:
        yield facts
    finally:
        service.stop()
        thread.join(30)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


def waits_for(condition: Any) -> None:
    """Until it is true."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_service_tells_of_itself_and_cleans_up(home: ServerHome) -> None:
    """Its process, its ports; afterwards nothing runs and nothing says that it does."""
    assert running_pid(home) is None
    with running(Pretended(home)) as facts:
        assert facts == {
            "pid": os.getpid(), "internal": 5, "public": [["127.0.0.1", 6]], "restarts": 0,
        }  # fmt: skip
        assert read_json(home.state / SERVICE) == facts
        assert running_pid(home) == os.getpid()
        child = read_json(home.state / LISTENING)["pid"]
    assert running_pid(home) is None
    assert not (home.state / SERVICE).exists()
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_there_is_one_service_of_a_home(home: ServerHome) -> None:
    """A second one would use the same database."""
    with (
        running(Pretended(home)),
        pytest.raises(StateError, match="one that runs"),
    ):
        Pretended(home).run()


def test_a_file_that_names_a_process_is_no_service(home: ServerHome) -> None:
    """After a crash it lies there, and the number may be anybody's."""
    home.pid_file.write_text(f"{os.getpid()}\n")
    assert running_pid(home) is None
    assert not stop_running(home)


@pytest.mark.parametrize("name", ["serving", "superexec"])
def test_a_child_that_dies_is_started_again(home: ServerHome, name: str) -> None:
    """And the number of times is told."""
    service = Pretended(home)
    with running(service):
        child = next(entry for entry in service._children if entry.name == name)
        first = child.process
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        waits_for(lambda: child.process is not None and child.process is not first)
        waits_for(lambda: read_json(home.state / SERVICE)["restarts"] == 1)
        assert child.process is not None
        assert child.process.poll() is None
    entries = [json.loads(line) for line in home.audit.read_bytes().splitlines()]
    assert [entry["event"] for entry in entries] == ["started", "child_died", "stopped"]
    assert entries[1]["detail"] == {"child": name, "status": -signal.SIGKILL}


def test_a_service_whose_log_was_changed_does_not_start(home: ServerHome) -> None:
    """And one whose log fails while it runs goes on, and says so."""
    service = Pretended(home)
    with running(service):
        home.audit.write_bytes(home.audit.read_bytes().replace(b"started", b"stopped"))
        first = service._children[1].process
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        waits_for(lambda: read_json(home.state / SERVICE)["restarts"] == 1)
    with pytest.raises(StateError, match="damaged"):
        Pretended(home).run()
    assert running_pid(home) is None


def test_a_child_that_cannot_live_ends_the_service_with_its_reason(home: ServerHome) -> None:
    """Rather than being started for ever."""
    service = Pretended(home)
    service.superexec = "print('the reason'); raise SystemExit(3)"
    with pytest.raises(FederationError, match=r"superexec ended 5 times.*the reason"):
        service.run()
    assert running_pid(home) is None


def test_a_server_that_does_not_come_up_says_why(home: ServerHome) -> None:
    """By the last line of its log."""
    service = Pretended(home)
    service.serving = DYING
    with pytest.raises(StateError, match="the reason"):
        service.run()
    assert running_pid(home) is None


def test_a_stop_while_it_comes_up_is_a_stop(home: ServerHome) -> None:
    """It does not wait for what will not come."""
    service = Pretended(home)
    service.serving = LIVING
    threading.Timer(0.3, service.stop).start()
    service.run()
    assert running_pid(home) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_handlers_are_put_back(home: ServerHome, number: int) -> None:
    """As systemd, and a person at the terminal, end it."""
    before = signal.getsignal(number)
    Pretended(home).run(lambda _facts: os.kill(os.getpid(), number))
    assert signal.getsignal(number) is before


def test_logs_are_kept_small_while_it_runs(
    home: ServerHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For months."""
    seen: list[str] = []
    monkeypatch.setattr(module, "_LOGS_EVERY_S", 0.0)
    monkeypatch.setattr(module, "keep_small", lambda path: seen.append(path.name))
    with running(Pretended(home)):
        waits_for(lambda: {"serving.log", "superexec.log"} <= set(seen))


def test_a_stop_waits_and_then_says_that_it_goes_on(
    home: ServerHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a service that does not end."""
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _pid, number: sent.append(number))
    with running(Pretended(home)), pytest.raises(FederationError, match="has not ended"):
        stop_running(home, 0.1)
    assert sent[0] == signal.SIGTERM


def test_a_service_without_a_terminal_says_why_it_ends(
    home: ServerHome, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """By its status and its log."""
    monkeypatch.setattr(module, "Service", Pretended)
    monkeypatch.setattr(Pretended, "serving", DYING)
    assert module.main(["--home", str(home.root)]) == 1
    assert "the reason" in caplog.text
    monkeypatch.setattr(Pretended, "serving", LIVING)
    real = Pretended.__init__

    def ends_soon(self: Pretended, given: ServerHome) -> None:
        real(self, given)
        self.stop()

    monkeypatch.setattr(Pretended, "__init__", ends_soon)
    assert module.main(["--home", str(home.root)]) == 0


def test_commands_name_the_home_and_the_executor_proves_its_secret(
    home: ServerHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is in no argument and in no variable."""
    commands: list[tuple[list[str], dict[str, str]]] = []

    class Started:
        """A process that takes what it is told."""

        class stdin:  # noqa: N801 - as a process has it
            """Keeps the key."""

            written = b""

            @classmethod
            def write(cls, content: bytes) -> None:
                """Keep it."""
                cls.written += content

            @staticmethod
            def flush() -> None:
                """Nothing to do."""

    def start(_home: Any, _name: str, command: list[str], environment: Any, _stdin: int) -> Any:
        commands.append((command, environment))
        return Started

    monkeypatch.setattr(module, "start_child", start)
    service = Service(home)
    service._start_serving()
    service._start_superexec()
    assert bytes.fromhex(Started.stdin.written.decode().strip()) == service._object_key
    for command, environment in commands:
        assert service._object_key.hex() not in " ".join([*command, *environment.values()])
    serving, superexec = (command for command, _ in commands)
    assert serving[1:] == ["-m", "server.serving", "--home", str(home.root)]
    assert "--superexec-auth-secret-file" in superexec
    assert superexec[superexec.index("--parent-pid") + 1] == str(os.getpid())
    assert "--allow-runtime-dependency-installation" not in superexec


def test_a_child_that_dies_while_it_is_started_again_is_started_once_more(home: ServerHome) -> None:
    """One death more, and not the service's end; at the very first start it is."""

    class Stumbling(Pretended):
        starts = 0

        def _start_serving(self) -> "subprocess.Popen[bytes]":
            self.starts += 1
            self.serving = DYING if self.starts in {2, 3} else SERVING
            return super()._start_serving()

    service = Stumbling(home)
    with running(service) as facts:
        first = read_json(home.state / LISTENING)["pid"]
        os.kill(first, signal.SIGKILL)
        waits_for(lambda: read_json(home.state / LISTENING)["pid"] != first)
        waits_for(lambda: read_json(home.state / SERVICE)["restarts"] == 3)
        assert service.starts == 4
        assert facts["restarts"] == 0
