"""A guard's worker: another process, which runs the code of an approved bundle.

It is started with what it needs and nothing else: the unpacked bundle, the data folder, a
socket in a folder of its guard's, an environment of a few names. It stays from message to message;
one that died, or took too long, is replaced.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from client import sandbox
from client.bundle import Bundle
from client.lent_memory import LENGTH, SMALLEST, LentMemory, told
from client.sandbox import Orders, orders_text
from client.site_settings import WorkerSettings
from client.worker_pb2 import Hello
from client.worker_wire import METHODS, SERVICE, Carried, limits, parser
from shared.errors import FederationError

_LOGGER = logging.getLogger("murmura.guard")
_START_S = 120.0
_LOOK_S = 0.05
_RESTARTS = 1
# Secrecy: what is not named here (tokens, proxies, paths) does not reach the bundle's code.
_ENVIRONMENT = (
    "PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
)  # fmt: skip


class WorkerFailed(FederationError):  # noqa: N818 - what happened
    """The worker died, was too slow, or could not compute; nothing of why leaves the site."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlace:
    """What a worker finds around it.

    Attributes:
        settings: Of the site.
        hidden: Folders that it must not see.
        data: Folder of the records; None in a demonstration.
        log: File of what it prints.
        prefix: Of its folder's name, in the machine's place for such.
    """

    settings: WorkerSettings
    hidden: tuple[Path, ...]
    data: Path | None
    log: Path
    prefix: str = "murmura-"


@dataclass(slots=True)
class _Running:
    process: "subprocess.Popen[bytes]"
    folder: Path
    channel: grpc.Channel = field(repr=False)
    lent: LentMemory | None = None
    shut_in: str = ""

    def close(self) -> None:
        """The process is gone."""
        self.channel.close()
        self.process.kill()
        self.process.wait()

    def call(self, method: str, request: Any, timeout_s: float, largest: int) -> Any:
        """The answer. Raises grpc.RpcError; ValueError, OSError of what does not lie there."""
        call, lent, length = _call(self.channel, method), self.lent, 0
        if lent is None:
            return call(request, timeout=timeout_s)
        try:
            if isinstance(request, Carried) and SMALLEST <= len(request.content) <= largest:
                lent.put(request.content)
                length, request = len(request.content), request.holding(memoryview(b""))
            about = ((LENGTH, str(length)),) if length else ()
            answer, ended = call.with_call(request, timeout=timeout_s, metadata=about)
            if (found := told(ended.trailing_metadata())) > largest:
                raise ValueError(f"expected at most {largest} bytes, got {found}")
            return answer.holding(lent.taken(found, length)) if found else answer
        finally:
            # Secrecy: what a site computed does not outlive its use.
            lent.clear()


class Worker:
    """The worker of one bundle; started when it is first needed.

    Args:
        bundle: Approved.
        place: What it finds.
    """

    def __init__(self, bundle: Bundle, place: WorkerPlace) -> None:
        self._bundle = bundle
        self._place = place
        self._running: _Running | None = None
        # The kernel ends a worker with the thread that started it: this one stays.
        self._starter = ThreadPoolExecutor(1)
        self._ended = False
        # Two computations would write over each other in lent memory; a worker does one at a time.
        self._asking = threading.Lock()
        self._largest = place.settings.answer_mib << 20
        self.starts = 0
        self.last_used = time.monotonic()

    @property
    def sandbox(self) -> str:
        """What the running worker is shut off from; empty: nothing, or it does not run."""
        return "" if self._running is None else self._running.shut_in

    @property
    def process(self) -> int | None:
        """Process id of the running worker."""
        return None if self._running is None else self._running.process.pid

    def ask(self, method: str, request: Any, timeout_s: float) -> Any:
        """The answer to one request; where the worker died over it, of its successor.

        Raises:
            WorkerFailed: no answer in time, another error, or it died twice.
        """
        self.last_used = time.monotonic()
        deadline = self.last_used + timeout_s
        for left in range(_RESTARTS, -1, -1):
            running, left_s = self._started(), max(deadline - time.monotonic(), _LOOK_S)
            try:
                with self._asking:
                    return running.call(method, request, left_s, self._largest)
            except (ValueError, OSError) as error:
                raise WorkerFailed(f"{method}: {error}") from error
            except grpc.RpcError as error:
                code = error.code()
                died = code is grpc.StatusCode.UNAVAILABLE
                if died or code is grpc.StatusCode.DEADLINE_EXCEEDED:
                    # Guarantee: a computation that is given up does not go on beside the next.
                    self.close()
                if self._ended or not (died and left):
                    raise WorkerFailed(f"{method}: {code.name}: {error.details()}") from error
        raise WorkerFailed(f"{method}: died")

    def close(self) -> None:
        """End the worker, and forget its files."""
        running, self._running = self._running, None
        if running is None:
            return
        running.close()
        remove_folder(running.folder)

    def end(self) -> None:
        """As `close`, for good: whoever asks, or waits for an answer, gets WorkerFailed."""
        self._ended = True
        self.close()

    def warm(self) -> None:
        """Begin to start it, so that the first request need not wait."""
        self._starter.submit(self._current)

    def _started(self) -> _Running:
        return self._starter.submit(self._current).result()

    def _current(self) -> _Running:
        if self._ended:
            raise WorkerFailed("the guard stops")
        if self._running is not None and self._running.process.poll() is None:
            return self._running
        self.close()
        # Not in the home, which the worker must not see; a socket's path must be short, too.
        folder = Path(tempfile.mkdtemp(prefix=self._place.prefix))
        try:
            self._running = self._start(folder)
        finally:
            if self._running is None:
                remove_folder(folder)
        return self._running

    def _start(self, folder: Path) -> _Running:
        self.starts += 1
        self._bundle.unpack(folder / "app")
        (folder / "scratch").mkdir(mode=0o700)
        path, lent = folder / "worker.sock", LentMemory.new()
        words = [str(path), str(self._largest)]
        words += [] if lent is None else [str(lent.descriptor)]
        end, tell = os.pipe()
        try:
            passed = [tell] if lent is None else [tell, lent.descriptor]
            process = self._spawn(folder, words, passed)
        finally:
            os.close(tell)
        with os.fdopen(end, "rb") as telling:
            said = telling.read()
        channel = grpc.insecure_channel(f"unix:{path}", options=limits(self._largest))
        running = _Running(process, folder, channel, lent)
        try:
            running.shut_in = _shut_in(said)
            self._greet(running)
        except WorkerFailed:
            running.close()
            raise
        return running

    def _spawn(
        self, folder: Path, arguments: list[str], passed: list[int]
    ) -> "subprocess.Popen[bytes]":
        place = self._place
        wanted = place.settings.sandbox
        # Sockets of the machine's services lie in /run; through one, code might get out.
        hidden = [path for path in (*place.hidden, Path("/run")) if path.is_dir()]
        orders = Orders(
            parent=os.getpid(),
            hidden=tuple(map(str, hidden)),
            read_only=() if place.data is None else (str(place.data),),
            wanted=wanted != "off",
            required=wanted == "required",
            told=passed[0],
            command=(sys.executable, "-s", "-E", "-B", "-m", "client.worker", *arguments),
        )
        scratch = str(folder / "scratch")
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        descriptor = os.open(place.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            return subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-I", str(Path(sandbox.__file__)), orders_text(orders)],
                cwd=folder / "app",
                env=environment | {"HOME": scratch, "TMPDIR": scratch},
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                pass_fds=passed,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)

    def _greet(self, running: _Running) -> None:
        """Wait until everything is loaded."""
        greet = _call(running.channel, "Greet")
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and running.process.poll() is None:
            try:
                greet(Hello(), timeout=_START_S)
            except grpc.RpcError:
                time.sleep(_LOOK_S)
            else:
                return
        raise WorkerFailed(f"the worker did not start; {self._place.log.name} says more")


def _call(channel: grpc.Channel, method: str) -> Any:
    return channel.unary_unary(
        f"/{SERVICE}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=parser(METHODS[method][1]),
    )


def _shut_in(said: bytes) -> str:
    try:
        told = json.loads(said)
    except ValueError as error:
        raise WorkerFailed("the worker could not be shut in, or not be started") from error
    if not told["sandbox"]:
        _LOGGER.warning("the worker is not shut in: %s", told["why"])
    return str(told["sandbox"])


def remove_folder(folder: Path) -> None:
    """A worker's folder is gone; a link in its place is left alone."""
    # The bundle's files and folders are its owner's to remove, whatever their modes.
    shutil.rmtree(folder, ignore_errors=True)
