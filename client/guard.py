"""A site's guard: takes the server's messages, and lets out what its owner allows, once.

For each message: note it, fetch it, handle it (client/handling.py: approval, policy, ledger,
worker, mask), put the answer on disk, commit it to the ledger, send it, forget the message. What a
crash leaves is taken up again: an answer on disk is sent as it is; without one, nothing has left,
and the message is handled once more for the same charge.

Commit before sending: so a charge without a commit is of an answer that never left.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from flwr.app import Message, RecordDict

from client.back_off import BackOff
from client.fleet import RunOrder
from client.fleet_errors import FleetRefused, FleetUnavailable, RequestRefused, RunOver
from client.given_up import GivenUp, Stopped, TooLate
from client.handling import Handling, SiteRun, reasons, refusal
from client.in_flight import Answered, InFlight, Settlement, settled
from client.letters import Letter, Received
from client.recorder import Recorder
from client.site import Commitment
from shared.errors import FederationError, MessageError, PrivacyError
from shared.wire import HEADER

_LOGGER = logging.getLogger("murmura.guard")
POLL_S = 0.2
_MOST_TRIES = 3  # of one message that ends the process each time
_MOST_RUNS = 8
_CLOCKS_DIFFER_S = 60.0
_SWEEP_S = 60.0  # between two looks at whether runs have ended


class Server(Protocol):
    """What a guard needs of the Fleet API; see `client.fleet.Fleet`."""

    def connect(self, known: int | None) -> int:
        """Be online."""

    def receive(self) -> Received | None:
        """The next message."""

    def order(self, run_id: int) -> RunOrder:
        """Of a run."""

    def bundle(self, run_id: int, bundle_hash: str) -> bytes:
        """Of a run."""

    def content(self, received: Received) -> Message:
        """Of a message."""

    def confirm(self, received: Received) -> None:
        """Let the server forget it."""

    def send(self, letter: Letter) -> None:
        """An answer."""


@dataclass(frozen=True, slots=True)
class Events:
    """Who is told of what a guard does.

    Attributes:
        record: The audit log.
        point: Called with the name of each point that is passed; for tests of crashes.
        progress: Called after each message.
    """

    record: Recorder
    point: Callable[[str], None] = lambda _: None
    progress: Callable[[str], None] = lambda _: None


class Guard:
    """One site's guard.

    Args:
        server: The connection.
        handling: What becomes of a message.
        in_flight: What outlives a crash.
        events: Who is told.
        stop: Set, when it is to stop.
    """

    def __init__(
        self,
        server: Server,
        handling: Handling,
        in_flight: InFlight,
        events: Events,
        stop: threading.Event,
    ) -> None:
        self._server = server
        self._handling = handling
        self._in_flight = in_flight
        self._events = events
        self._stop = stop
        self._runs: dict[int, SiteRun] = {}
        self._swept = time.monotonic()

    def serve(self, known: int | None, connected: Callable[[int], None]) -> None:
        """Until `stop` is set, whatever becomes of the connection.

        Args:
            known: The node's number, if it had one.
            connected: Told the number, each time the connection stands.
        """
        wait = BackOff(self._stop)
        self._in_flight.sweep()
        while not self._stop.is_set():
            try:
                known = self._server.connect(known)
                connected(known)
                wait.reset()
                self._take_up()
                self._take_in()
            except FleetUnavailable as error:
                self._events.progress("not connected")
                _LOGGER.warning("the server does not answer (%s)", error)
                wait.sleep()
            except FleetRefused as error:
                self._events.progress("refused by the server")
                _LOGGER.error("%s", error)
                wait.sleep(refused=True)
            except Stopped:
                return

    def _take_up(self) -> None:
        """What a crash or a lost connection left."""
        for received, tries in list(self._in_flight.waiting()):
            self._handle(received, tries)
        self._forget_what_is_over(lambda run_id: run_id not in self._runs)

    def _take_in(self) -> None:
        while not self._stop.is_set():
            received = self._server.receive()
            if received is None:
                self._sweep_now_and_then()
                self._stop.wait(POLL_S)
                continue
            try:
                received.bare()
            except MessageError as error:
                # There is nothing in it that could be answered.
                _LOGGER.warning("a message is dropped: %s", error)
                continue
            self._handle(received, 0)

    def _handle(self, received: Received, tries: int) -> None:
        run_id = received.metadata.run_id
        try:
            # A server that does not know whether it got an answer may ask again.
            resumed = self._in_flight.is_answered(received)
            answered = self._in_flight.answer(run_id) if resumed else None
            if answered is None:
                # It may also give a message out once: it is noted before anything can go wrong.
                self._in_flight.take(received, tries + 1)
                self._events.point("received")
                answered = self._answer(received, tries)
            self._deliver(received, answered, resumed=resumed)
        except RunOver:
            _LOGGER.info("run %d is over", run_id)
            self._forget(run_id)
        except RequestRefused as error:
            _LOGGER.error("an answer of run %d is not taken: %s", run_id, error)
            self._events.record("refused", reason="not_taken", run=str(run_id))
        self._in_flight.done(received)
        self._events.point("done")
        self._events.progress(received.metadata.message_type)

    def _answer(self, received: Received, tries: int) -> Answered:
        record, unsettled = self._in_flight.record(received.metadata.run_id), list[Commitment]()
        try:
            if tries >= _MOST_TRIES:
                raise GivenUp("this message ended the guard before")
            reply = self._reply(received, record, unsettled)
        except (FleetUnavailable, FleetRefused, Stopped):
            # The connection was lost, or the guard is to stop: that is no fault of the message.
            self._in_flight.take(received, tries)
            raise
        except RunOver:
            raise
        except FederationError as error:
            return self._refused(received, error)
        self._events.point("masked")
        return self._kept(received, reply, record, settled(unsettled))

    def _kept(
        self,
        received: Received,
        reply: Message,
        record: RecordDict,
        unsettled: tuple[Settlement, ...],
    ) -> Answered:
        header: Mapping[str, object] = {}
        if reply.has_content():
            header = dict(reply.content.config_records[HEADER])
        answered = Answered(
            received.metadata.message_id,
            Letter.of(reply),
            unsettled,
            int(str(header.get("round_number", 0))),
            int(str(header.get("attempt", 0))),
        )
        # Guarantee: on disk before a byte of it leaves; the same attempt gets these bytes again.
        self._in_flight.keep(received.metadata.run_id, record, answered)
        self._events.point("kept")
        return answered

    def _reply(
        self, received: Received, record: RecordDict, unsettled: list[Commitment]
    ) -> Message:
        run = self._run(received.metadata.run_id)
        age_s = time.time() - received.metadata.created_at
        if age_s > run.config.cohort.timeout_s + _CLOCKS_DIFFER_S:
            raise TooLate("the server waits for this answer no longer")
        message = self._server.content(received)
        try:
            content = self._handling.reply(run, message, record, unsettled)
        except FederationError as error:
            # The worker may have been ended over it; the next start will know.
            if self._stop.is_set():
                raise Stopped("the guard stops") from error
            raise
        return Message(content, reply_to=received.bare())

    def _deliver(self, received: Received, answered: Answered, *, resumed: bool) -> None:
        try:
            for each in answered.unsettled:
                each.commit(resumed=resumed)
        except PrivacyError as error:
            # Guarantee: what the ledger does not know does not leave.
            answered = self._refused(received, error)
        self._events.point("committed")
        metadata, letter = received.metadata, answered.letter
        if letter.holds_content:
            self._events.record(
                "left",
                kind=metadata.message_type.rpartition(".")[2],
                run=str(metadata.run_id),
                round=answered.round_number,
                attempt=answered.attempt,
                bytes=letter.size,
                sha256=letter.digest,
            )
        self._server.confirm(received)
        self._server.send(letter)
        self._events.point("sent")

    def _refused(self, received: Received, error: FederationError) -> Answered:
        metadata = received.metadata
        kind, run_id = metadata.message_type, metadata.run_id
        _LOGGER.warning("%s of run %d is refused: %s", kind, run_id, error)
        for reason in reasons(error):
            self._events.record("refused", reason=reason, run=str(run_id))
        # As it was before: nothing that was begun for this answer counts.
        record = self._in_flight.record(run_id)
        return self._kept(received, refusal(received.bare(), error), record, ())

    def _run(self, run_id: int) -> SiteRun:
        if run_id not in self._runs:
            order = self._server.order(run_id)
            content = self._server.bundle(run_id, order.bundle_hash)
            self._runs[run_id] = self._handling.open(run_id, order, content)
            for old in list(self._runs)[:-_MOST_RUNS]:
                del self._runs[old]
        return self._runs[run_id]

    def _sweep_now_and_then(self) -> None:
        """Forget the runs that have ended since the last time, a minute ago or more."""
        now = time.monotonic()
        if now - self._swept < _SWEEP_S:
            return
        self._swept = now
        self._forget_what_is_over(lambda _: True)

    def _forget_what_is_over(self, looked_at: Callable[[int], bool]) -> None:
        for run_id in filter(looked_at, self._in_flight.runs()):
            try:
                self._server.order(run_id)
            except RunOver:
                self._forget(run_id)

    def _forget(self, run_id: int) -> None:
        self._runs.pop(run_id, None)
        # Secrecy: with the keys of a run goes what could unmask it.
        self._in_flight.forget(run_id)


def local_time() -> datetime:
    """Now, by the machine's clock and zone."""
    return datetime.fromtimestamp(time.time()).astimezone()
