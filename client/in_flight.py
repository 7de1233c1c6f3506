"""What a guard must still know after a crash: messages it took, and what it is about to answer.

    message-ID   taken from the server, which gives it out once, and not answered yet
    run-ID       secure aggregation of one run; the last answer, and what is committed before it
                 leaves: all in one file, so that no crash leaves one without the other

A file is written before the step that it is for: an answer is here before a byte of it is sent.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord, RecordDict

from client.charging import Unnoted, Unsettled
from client.kept import keep, kept
from client.ledger_state import Key
from client.letters import Letter, Received
from client.site import Commitment
from shared.durable import remove
from shared.errors import StateError

Settlement = Unsettled | Unnoted
_MESSAGE, _RUN = "message-", "run-"
_RECORD, _LETTER, _OBJECT = "record/", "letter/", "letter/object/"


@dataclass(frozen=True, slots=True)
class Answered:
    """The last answer of a run.

    Attributes:
        message_id: Of the message that it answers.
        letter: To be sent.
        unsettled: To be committed before.
        round_number: Of what it answers; 0: of no round.
        attempt: Likewise.
    """

    message_id: str
    letter: Letter = field(repr=False)
    unsettled: tuple[Settlement, ...]
    round_number: int = 0
    attempt: int = 0


class InFlight:
    """The files of one site.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._records: dict[int, RecordDict] = {}
        self._answered: dict[int, str] = {}

    def sweep(self) -> None:
        """Remove what a process that was killed had written in part. Raises StateError."""
        # Secrecy: a part of a run's file may hold its keys, which go when the run is over.
        for kind in (_MESSAGE, _RUN):
            for path in self._folder.glob(f".{kind}*"):
                remove(path)

    def take(self, received: Received, tries: int) -> None:
        """Note a message, and how often it was begun. Raises StateError."""
        parts = {"message": received.message, "tree": received.tree, "tries": str(tries).encode()}
        keep(self._message(received), parts)

    def waiting(self) -> Iterator[tuple[Received, int]]:
        """Messages without an answer that has left, and how often they were begun."""
        for path in sorted(self._folder.glob(f"{_MESSAGE}*")):
            parts = kept(path)
            yield Received(parts["message"], parts["tree"]), int(parts["tries"])

    def done(self, received: Received) -> None:
        """Forget a message. Raises StateError."""
        remove(self._message(received))

    def runs(self) -> list[int]:
        """Numbers of the runs that something is kept of."""
        return sorted(int(path.name[len(_RUN) :]) for path in self._folder.glob(f"{_RUN}*"))

    def record(self, run_id: int) -> RecordDict:
        """Secure aggregation of a run, as its last answer left it; a copy."""
        if run_id not in self._records:
            self._records[run_id] = self._read_record(run_id)
        return RecordDict(dict(self._records[run_id]))

    def _read_record(self, run_id: int) -> RecordDict:
        groups: dict[str, dict[str, str | bytes]] = {}
        for name, content in kept(self._run(run_id)).items():
            if name.startswith(_RECORD):
                _, group, key, kind = name.split("/")
                value = content if kind == "bytes" else content.decode()
                groups.setdefault(group, {})[key] = value
        return RecordDict({group: ConfigRecord({**fields}) for group, fields in groups.items()})

    def is_answered(self, received: Received) -> bool:
        """Whether the last answer of its run is of this very message."""
        metadata = received.metadata
        if metadata.run_id not in self._answered:
            stored = kept(self._run(metadata.run_id)).get("answers", b"")
            self._answered[metadata.run_id] = stored.decode()
        return self._answered[metadata.run_id] == str(metadata.message_id)

    def answer(self, run_id: int) -> Answered | None:
        """The last answer of a run."""
        parts = kept(self._run(run_id))
        if f"{_LETTER}message" not in parts:
            return None
        objects = {
            name[len(_OBJECT) :]: content
            for name, content in parts.items()
            if name.startswith(_OBJECT)
        }
        letter = Letter(parts[f"{_LETTER}message"], parts[f"{_LETTER}tree"], objects)
        unsettled = tuple(map(_settlement, json.loads(parts["unsettled"])))
        place = json.loads(parts["place"])
        return Answered(parts["answers"].decode(), letter, unsettled, *place)

    def keep(self, run_id: int, record: RecordDict, answered: Answered) -> None:
        """Both, on disk, before anything of the answer leaves. Raises StateError."""
        parts = dict(_record_parts(record))
        letter = answered.letter
        parts |= {
            "answers": answered.message_id.encode(),
            "place": json.dumps([answered.round_number, answered.attempt]).encode(),
            "unsettled": json.dumps(list(map(_stored, answered.unsettled))).encode(),
            f"{_LETTER}message": letter.message,
            f"{_LETTER}tree": letter.tree,
            **{f"{_OBJECT}{name}": content for name, content in letter.objects.items()},
        }
        keep(self._run(run_id), parts)
        self._records[run_id] = RecordDict(dict(record))
        self._answered[run_id] = answered.message_id

    def forget(self, run_id: int) -> None:
        """A run is over: its keys are gone, so that nobody can answer for it. Raises StateError."""
        self._records.pop(run_id, None)
        self._answered.pop(run_id, None)
        remove(self._run(run_id))

    def _message(self, received: Received) -> Path:
        return self._folder / f"{_MESSAGE}{received.bare().metadata.message_id}"

    def _run(self, run_id: int) -> Path:
        return self._folder / f"{_RUN}{run_id}"


def settled(unsettled: list[Commitment]) -> tuple[Settlement, ...]:
    """Those that can be written down: all that a session makes."""
    return tuple(each for each in unsettled if isinstance(each, Unsettled | Unnoted))


def _stored(each: Settlement) -> list[object]:
    if isinstance(each, Unnoted):
        return [str(each.ledger), each.context]
    return [str(each.ledger), each.key, each.reply_digest]


def _settlement(stored: list[Any]) -> Settlement:
    if len(stored) == 2:
        return Unnoted(Path(stored[0]), str(stored[1]))
    return Unsettled(Path(stored[0]), _key(stored[1]), str(stored[2]))


def _record_parts(record: RecordDict) -> Iterator[tuple[str, bytes]]:
    for group, fields in record.config_records.items():
        for key, value in fields.items():
            if isinstance(value, bytes):
                yield f"{_RECORD}{group}/{key}/bytes", value
            elif isinstance(value, str):
                yield f"{_RECORD}{group}/{key}/text", value.encode()
            else:
                raise StateError(f"expected bytes or text in {group}/{key} of the state")


def _key(stored: list[object]) -> Key:
    server, run_id, kind, number, attempt = stored
    return str(server), str(run_id), str(kind), int(str(number)), int(str(attempt))
