"""One service in the foreground: the serving process and Flower's executor, kept alive together.

A child that dies is started again; one that dies over and over ends the service, which says so.
When the service ends, in whatever way, its children end too, and within some seconds what they
started (server/orphan.py).
Nothing is lost by a restart but the runs under way, which can be resumed.
"""

import argparse
import logging
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fcntl import LOCK_NB, LOCK_SH, flock
from pathlib import Path
from typing import Any

from server.children import (
    Child,
    child_environment,
    end_child,
    keep_small,
    last_line,
    log_of,
    start_child,
)
from server.home import LISTENING, SERVICE, ServerHome
from server.recorder import recorder_of
from shared.durable import locked_soon, read_json, write_json
from shared.ending import end_process
from shared.errors import FederationError, StateError
from shared.log_lines import log_json

_LOGGER = logging.getLogger("murmura.server")
_READY_S, _LOOK_S, _LOCK_S = 60.0, 0.2, 1.0
_MOST_DEATHS, _WITHIN_S, _LONGEST_PAUSE_S = 5, 120.0, 10.0
_LOGS_EVERY_S = 60.0
_CODE = Path(__file__).parents[1]


class Service:
    """The service of one home.

    Args:
        home: The server's.
    """

    def __init__(self, home: ServerHome) -> None:
        home.check()
        self._home = home
        self._record = recorder_of(home)
        # Secrecy: what seals the sites' objects lives as long as this process and on no disk.
        self._object_key = secrets.token_bytes(32)
        self._stop = threading.Event()
        self._children = [
            Child("serving", self._start_serving),
            Child("superexec", self._start_superexec),
        ]
        self._restarts = 0

    def run(self, ready: Callable[[Mapping[str, Any]], None] = lambda _facts: None) -> None:
        """Serve until SIGTERM, SIGINT or `stop`.

        Args:
            ready: Called once everything answers, with what `service.json` holds.

        Raises:
            StateError: another process serves this home.
            FederationError: a child cannot be kept alive.
        """
        with _only_one(self._home), self._signals():
            # A log that cannot be written, or was changed, is for a person to look at first.
            self._record("started", pid=os.getpid())
            try:
                for child in self._children:
                    self._launch(child)
                facts = self._tell()
                ready(facts)
                self._keep_alive()
            finally:
                for child in reversed(self._children):
                    end_child(child)
                (self._home.state / SERVICE).unlink(missing_ok=True)
                self._note("stopped", pid=os.getpid())

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    def _keep_alive(self) -> None:
        looked_at_logs = time.monotonic()
        while not self._stop.wait(_LOOK_S):
            for child in self._children:
                if child.process is not None and child.process.poll() is not None:
                    self._again(child, child.process.returncode)
            if time.monotonic() - looked_at_logs > _LOGS_EVERY_S:
                looked_at_logs = time.monotonic()
                for path in self._home.logs.glob("*.log"):
                    keep_small(path)

    def _again(self, child: Child, status: int) -> None:
        now = time.monotonic()
        child.deaths = [at for at in child.deaths if now - at < _WITHIN_S] + [now]
        _LOGGER.error("%s ended with status %d; it is started again", child.name, status)
        self._note("child_died", child=child.name, status=status)
        end_child(child)
        if len(child.deaths) >= _MOST_DEATHS:
            raise FederationError(
                f"{child.name} ended {len(child.deaths)} times within {_WITHIN_S:g} s; the last "
                f"line of its log: {last_line(log_of(self._home, child.name))!r}"
            )
        if not self._stop.wait(min(_LONGEST_PAUSE_S, 0.25 * 2 ** len(child.deaths))):
            self._restarts += 1
            self._launch(child, again=True)
            self._tell()

    def _note(self, event: str, /, **detail: str | int) -> None:
        """Record what has happened; a log that fails then ends no service."""
        try:
            self._record(event, **detail)
        except StateError as error:
            _LOGGER.error("the audit log lacks one entry (%s): %s", event, error)

    def _launch(self, child: Child, *, again: bool = False) -> None:
        if self._stop.is_set():
            return
        child.process = child.start()
        if child.name == "serving":
            self._wait_until_it_listens(child.process, again=again)

    def _wait_until_it_listens(self, process: "subprocess.Popen[bytes]", *, again: bool) -> None:
        deadline = time.monotonic() + _READY_S
        while read_json(self._home.state / LISTENING).get("pid") != process.pid:
            if self._stop.wait(0.05):
                return
            if again and process.poll() is not None:
                # One death more, which is counted as any other.
                return
            if process.poll() is not None or time.monotonic() > deadline:
                raise StateError(
                    "the server does not listen; the last line of its log: "
                    f"{last_line(log_of(self._home, 'serving'))!r}"
                )

    def _tell(self) -> dict[str, Any]:
        listening = read_json(self._home.state / LISTENING)
        facts = {
            "pid": os.getpid(),
            "internal": listening.get("internal"),
            "public": listening.get("public"),
            "restarts": self._restarts,
        }
        write_json(self._home.state / SERVICE, facts)
        return facts

    def _start_serving(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "server.serving", "--home", str(self._home.root)]
        environment = child_environment(self._home) | {"PYTHONPATH": str(_CODE)}
        process = start_child(self._home, "serving", command, environment, subprocess.PIPE)
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.write(self._object_key.hex().encode() + b"\n")
                process.stdin.flush()
        return process

    def _start_superexec(self) -> "subprocess.Popen[bytes]":
        internal = read_json(self._home.state / LISTENING).get("internal")
        command = [
            str(Path(sys.executable).parent / "flower-superexec"), "--insecure",
            "--runtime-api-address", f"127.0.0.1:{internal}",
            "--superexec-auth-secret-file", str(self._home.exec_secret),
            "--parent-pid", str(os.getpid()),
        ]  # fmt: skip
        environment = child_environment(self._home)
        return start_child(self._home, "superexec", command, environment, subprocess.DEVNULL)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = [signal.signal(number, lambda *_given: self._stop.set()) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


@contextmanager
def _only_one(home: ServerHome) -> Iterator[None]:
    descriptor = os.open(home.pid_file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not locked_soon(descriptor, _LOCK_S):
            raise StateError(f"expected no service of {home.root}, got one that runs")
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def running_pid(home: ServerHome) -> int | None:
    """The process that serves `home`; None where none does, whatever the file says."""
    try:
        descriptor = os.open(home.pid_file, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        flock(descriptor, LOCK_SH | LOCK_NB)
    except OSError:
        content = home.pid_file.read_text().strip()
        return int(content) if content.isdigit() else None
    finally:
        os.close(descriptor)
    return None


def stop_running(home: ServerHome, timeout_s: float = 30.0) -> bool:
    """Ask the service to end and wait for it; returns whether there was one.

    Raises:
        FederationError: it goes on for longer.
    """
    pid = running_pid(home)
    if pid is None:
        return False
    if not end_process(pid, lambda: running_pid(home) is not None, timeout_s):
        raise FederationError(f"process {pid} has not ended within {timeout_s:g} s")
    return True


def main(arguments: Sequence[str] | None = None) -> int:
    """The service without a terminal; what it has to say goes to its log."""
    parser = argparse.ArgumentParser(description="The service of one home, detached.")
    parser.add_argument("--home", type=Path, required=True)
    log_json()
    try:
        Service(ServerHome(parser.parse_args(arguments).home)).run()
    except FederationError as error:
        _LOGGER.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
