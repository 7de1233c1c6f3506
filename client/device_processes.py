"""The processes that compute for one trainer, one for each device, and their end.

They are this interpreter once more, with the modules that it would find. Each holds one end of a
pair of sockets, and is over as soon as the other end is closed: with the trainer, or with its
process, however that ends. Among each other they meet on the loopback network.
"""

import os
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from torch import Tensor

from client.device_wire import Said, receive, send
from shared.config import RunConfig
from shared.dp.mechanisms import RecordPrivacy
from shared.errors import FederationError, PrivacyError

Message = tuple[Said, Sequence[Tensor]]
Answer = tuple[dict[str, Any], list[Tensor]]
_MODULE = "client.one_device"


class DeviceFailed(FederationError):  # noqa: N818 - what happened
    """A device's process ended or could not compute: nothing of what the others have is used."""


class _Started:
    """Processes and this end of their sockets."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.processes: list[subprocess.Popen[bytes]] = []

    def end(self) -> None:
        """None of them computes any more when this returns."""
        for connection in self.connections:
            connection.close()
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()


class DeviceProcesses:
    """One process for each device; started when first asked, and anew after a failure.

    Args:
        config: The run's configuration.
        mechanism: Whose clip they take; None: they take none.
        data_dir: What the task is made with.
        names: Of the devices.
    """

    def __init__(
        self,
        config: RunConfig,
        mechanism: RecordPrivacy | None,
        data_dir: Path | None,
        names: Sequence[str],
    ) -> None:
        self._order: dict[str, Any] = {
            "config": config.flat(),
            "mechanism": None if mechanism is None else asdict(mechanism),
            "data_dir": None if data_dir is None else str(data_dir),
            "devices": list(names),
        }
        self._names = tuple(names)
        self._started: _Started | None = None
        self._end: Any = None

    def __len__(self) -> int:
        """How many devices."""
        return len(self._names)

    @property
    def process_ids(self) -> list[int]:
        """Of those that run."""
        return [] if self._started is None else [each.pid for each in self._started.processes]

    def ask(self, messages: Sequence[Message]) -> list[Answer]:
        """Every process's answer to its message, in order.

        Raises:
            PrivacyError: one of them raised it.
            DeviceFailed: one is gone, or raised another error.
        """
        started, self._started = self._started, None
        try:
            started = started or self._start()
            for connection, (said, tensors) in zip(started.connections, messages, strict=True):
                send(connection, said, tensors)
            answers = self._answers(started)
            self._started = started
        except OSError as error:
            raise DeviceFailed("expected each device's process to listen, got one gone") from error
        finally:
            # Guarantee: what was not answered by all is answered by none; no sum of some is used,
            # and nobody waits for one that is gone, or answers an earlier question.
            if self._started is None:
                self._end()
        return answers

    def end(self) -> None:
        """End them; the next question starts new ones."""
        if self._started is not None:
            self._started = None
            self._end()

    def _answers(self, started: _Started) -> list[Answer]:
        found: dict[int, Answer] = {}
        ranks = {id(each): rank for rank, each in enumerate(started.connections)}
        while len(found) < len(ranks):
            waiting = [each for each in started.connections if ranks[id(each)] not in found]
            for ready in wait(waiting):
                rank = ranks[id(ready)]
                found[rank] = self._answer(started.connections[rank], rank)
        return [found[rank] for rank in range(len(found))]

    def _answer(self, connection: Connection, rank: int) -> Answer:
        try:
            said, tensors = receive(connection)
        except EOFError as error:
            raise DeviceFailed(
                f"expected an answer of device {rank} ({self._names[rank]}), got its process's end"
            ) from error
        if "error" in said:
            kind = PrivacyError if said["error"] == PrivacyError.__name__ else DeviceFailed
            raise kind(str(said["text"]))
        return said, tensors

    def _start(self) -> _Started:
        started = _Started()
        # Both with this object, and when the interpreter ends.
        self._end = weakref.finalize(self, started.end)
        with tempfile.TemporaryDirectory(prefix="murmura-devices-") as folder:
            for _ in self._names:
                self._spawn(started)
            order = self._order | {"meet": f"{folder}/meet"}
            for rank, connection in enumerate(started.connections):
                send(connection, order | {"rank": rank})
            # They have met; the file is not needed any more.
            self._answers(started)
        return started

    def _spawn(self, started: _Started) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-P", "-s", "-B", "-m", _MODULE, str(theirs.fileno())]
            process = subprocess.Popen(  # noqa: S603 - our own command
                command,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(_search_path())} | _loopback(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,  # where gloo says hello
                pass_fds=[theirs.fileno()],
            )
        started.processes.append(process)
        started.connections.append(Connection(ours.detach()))


def _search_path() -> list[str]:
    """Where this process finds modules, such as a bundle's and the user's own."""
    return [str(Path(place).absolute()) for place in sys.path]


def _loopback() -> dict[str, str]:
    # Secrecy: sums without noise pass between these processes, and must not leave the machine.
    here = {name for _, name in socket.if_nameindex()}
    name = "lo0" if "lo0" in here else "lo"
    return {"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": name}
