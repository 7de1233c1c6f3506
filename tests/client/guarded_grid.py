"""The real ServerApp over a grid whose clients are guards: messages as bytes, homes on disk.

A guard can be killed at a named point of a message; then it is made anew from its home, as a
process is that was started again. (tests/client/test_guard_killed.py kills real ones.)
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from flwr.app import Context, Message, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID
from flwr.common.serde import message_from_proto
from flwr.proto.message_pb2 import Message as ProtoMessage

from client.computing import Computing
from client.fleet import RunOrder
from client.fleet_errors import RunOver
from client.guard import Events, Guard, local_time
from client.handling import Handling
from client.home import SiteHome
from client.in_flight import InFlight
from client.in_process import InProcess
from client.letters import Letter, Received, inflated
from client.recorder import Recorder, unrecorded
from client.renewal import accept_roster
from client.site import ThisSite
from server.app import app as server_app
from shared.app_signatures import fingerprint
from shared.config import RunConfig, Scalar
from shared.messages import TrainInstruction
from shared.query_messages import QueryInstruction
from shared.vectors import FlatVector
from simulations.grid import InProcessGrid
from tests.client.authorities import TestAuthority
from tests.client.made_sites import made_bundle, made_home, roster_of, settings_of, signature

LARGEST = 1 << 28  # bytes of a message
AUTHORITY = TestAuthority.new()
BUNDLE = made_bundle()
SIGNATURE = signature(AUTHORITY, BUNDLE)
POINTS = (
    "received", "reserved", "computed", "masked", "kept", "committed", "sent", "done",
)  # fmt: skip


class Killed(BaseException):
    """The guard's process is gone."""


@dataclass
class Script:
    """At which point of which kind of message a guard dies; each once."""

    deaths: list[tuple[str, str]] = field(default_factory=list)
    kind: str = ""
    passed: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, point: str) -> None:
        """Die, if it is written so."""
        self.passed.append((self.kind, point))
        if (self.kind, point) in self.deaths:
            self.deaths.remove((self.kind, point))
            raise Killed(point)


@dataclass
class FakeServer:
    """What a guard needs of a server: one message at a time, given out once."""

    overrides: Mapping[str, Scalar]
    stop: threading.Event
    bundle_content: bytes = BUNDLE
    over: bool = False
    waiting: list[Received] = field(default_factory=list)
    contents: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    sent: dict[str, list[Letter]] = field(default_factory=dict)
    confirmed: list[str] = field(default_factory=list)

    def give(self, message: Message) -> str:
        """Have a message for the site; returns its id."""
        letter = Letter.of(message)
        self.waiting.append(Received(letter.message, letter.tree))
        self.contents[letter.digest] = letter.objects
        return letter.digest

    def connect(self, known: int | None) -> int:
        """Always."""
        return known or 7

    def receive(self) -> Received | None:
        """The next; none is left: the guard is to stop."""
        if not self.waiting:
            self.stop.set()
            return None
        return self.waiting.pop(0)

    def order(self, run_id: int) -> RunOrder:
        """Of the one run."""
        del run_id
        if self.over:
            raise RunOver("over")
        return RunOrder(sha256(self.bundle_content).hexdigest(), self.overrides)

    def bundle(self, run_id: int, bundle_hash: str) -> bytes:
        """The one bundle."""
        del run_id, bundle_hash
        return self.bundle_content

    def content(self, received: Received) -> Message:
        """As it was given."""
        name = received.metadata.message_id
        message = inflated(name, dict(self.contents[name]), LARGEST)
        message.metadata.__dict__["_message_id"] = name
        return message

    def confirm(self, received: Received) -> None:
        """Keep the id."""
        self.confirmed.append(received.metadata.message_id)

    def send(self, letter: Letter) -> None:
        """Keep every letter that ever came."""
        answered = ProtoMessage.FromString(letter.message).metadata.reply_to_message_id
        self.sent.setdefault(answered, []).append(letter)


class Watched:
    """Computing that passes two points of a script."""

    def __init__(self, inner: Computing, script: Script) -> None:
        self._inner = inner
        self._script = script

    def update(self, site: ThisSite, instruction: TrainInstruction, kept: FlatVector) -> Any:
        """The inner one's."""
        self._script("reserved")
        found = self._inner.update(site, instruction, kept)
        self._script("computed")
        return found

    def rows(self, site: ThisSite, instruction: QueryInstruction, layers: FlatVector) -> Any:
        """The inner one's."""
        self._script("reserved")
        found = self._inner.rows(site, instruction, layers)
        self._script("computed")
        return found


@dataclass
class GuardedSite:
    """A home, and the guard that runs from it."""

    home: SiteHome
    overrides: Mapping[str, Scalar]
    script: Script = field(default_factory=Script)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    computing: Callable[[RunConfig], Computing] = InProcess
    starts: int = 0
    log: Recorder = unrecorded

    def __post_init__(self) -> None:
        """Nothing runs yet."""
        self.stop = threading.Event()
        self.server = FakeServer(self.overrides, self.stop)
        self.start()

    def start(self) -> None:
        """A new process, which knows what the home holds."""
        self.starts += 1
        handling = Handling(
            self.home,
            settings_of(self.home),
            lambda _, config: Watched(self.computing(config), self.script),
            self.record,
            local_time,
        )
        events = Events(self.record, self.script)
        self.guard = Guard(self.server, handling, InFlight(self.home.state), events, self.stop)

    def record(self, event: str, /, **detail: str | int) -> None:
        """Keep it, and log it."""
        self.log(event, **detail)
        self.events.append((event, detail))

    def serve(self) -> None:
        """Until nothing waits, however often the guard dies."""
        self.stop.clear()
        while True:
            try:
                self.guard.serve(None, lambda _: None)
            except Killed:
                self.start()
            else:
                return

    def answer(self, message: Message) -> Message:
        """What the site answers to one message."""
        self.script.kind = message.metadata.message_type
        name = self.server.give(message)
        self.serve()
        return opened(self.server.sent[name][-1])


def opened(letter: Letter) -> Message:
    """The message in a letter."""
    if letter.holds_content:
        return inflated(letter.digest, dict(letter.objects), LARGEST)
    return message_from_proto(ProtoMessage.FromString(letter.message))


class GuardedGrid(InProcessGrid):
    """Its clients are guards."""

    simulated = False

    def __init__(self, sites: list[GuardedSite], run_config: Mapping[str, Scalar]) -> None:
        super().__init__(lambda *_: None, len(sites), run_config)  # type: ignore[arg-type]
        self._sites = sites

    def _run_client(self, index: int, message: Message) -> Message:
        name = message.metadata.message_id
        reply = self._sites[index].answer(message)
        # A real server's ids are those of the objects; the grid counts.
        message.metadata.__dict__["_message_id"] = name
        reply.metadata.__dict__["_reply_to_message_id"] = name
        return reply


def made_sites(folder: Path, flat: Mapping[str, Scalar], **more: Any) -> list[GuardedSite]:
    """As many as the run has clients, with homes, ledgers and one roster."""
    count = int(flat["population.size"])
    homes = [
        made_home(
            folder / f"home{index}",
            AUTHORITY,
            name=f"site-{index:06d}",
            part=(index, count),
            **more,
        )
        for index in range(count)
    ]
    roster = roster_of(*homes)
    for home in homes:
        accept_roster(home, settings_of(home).site, roster, fingerprint(roster))
    signed = dict(flat) | {"output.bundle_signature": SIGNATURE}
    return [GuardedSite(home, signed) for home in homes]


def federated(sites: list[GuardedSite], flat: Mapping[str, Scalar]) -> Path:
    """Run the ServerApp over guards; returns the run folder."""
    signed = dict(flat) | {"output.bundle_signature": SIGNATURE}
    config = RunConfig.from_run_config(signed).flat()
    grid = GuardedGrid(sites, config)
    context = Context(
        run_id=grid.run.run_id,
        node_id=SUPERLINK_NODE_ID,
        node_config={},
        state=RecordDict(),
        run_config=config,
    )
    server_app(grid=grid, context=context)
    return Path(str(config["output.dir"])) / str(config["output.run_id"])
