"""A server that plays two rounds by dice: honest messages, hostile ones, and both in any order."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Message, RecordDict

from client.app import app
from shared.aggregation_messages import UNMASK, UnmaskMessage
from shared.config import RunConfig
from shared.dp.plan import PrivacyPlan
from shared.messages import Enrolled, TrainInstruction, TrainReply, enrol_request
from shared.secagg.encoding import update_encoding
from shared.secagg.exchange import (
    MaskedUpdate,
    RoundContext,
    SignedHeader,
    UnmaskRequest,
    header_content,
)
from shared.secagg.graph import RoundGraph, round_graph
from shared.secagg.keys import SEAL_BYTES, KeyBook, SignedKey
from shared.secagg.packing import (
    answer_from_bytes,
    context_from_bytes,
    context_to_bytes,
    fields,
    joined,
    keys_from_bytes,
    keys_to_bytes,
    request_from_bytes,
    request_to_bytes,
    upload_from_bytes,
)
from shared.secagg.parameters import AggregationParameters, parameters_for
from shared.secagg.transcript import KEY_BYTES
from simulations.grid import InProcessGrid
from tests.server.toy import DIMENSION, settings
from tests.simulations.hostile_server import identity_of, node_of
from tests.simulations.knowledge import Knowledge
from tests.simulations.toy import SETTINGS

NAMES = tuple(f"site-{index:06d}" for index in range(6))
FRACTIONS = (0.17, 0.34)
RUN_ID = "1:toy"
RAW = settings(
    Path("unused"),
    SETTINGS
    | {
        "population.size": len(NAMES),
        "aggregation.corrupt_fraction": FRACTIONS[0],
        "aggregation.dropped_fraction": FRACTIONS[1],
    },
)
_ASKED = 16  # requests to unmask in each attempt
Question = tuple[TrainInstruction, RoundContext]


@cache
def plan() -> PrivacyPlan:
    """Of all scripts."""
    return PrivacyPlan.from_config(RunConfig.from_run_config(RAW))


@cache
def identity(name: str) -> Ed25519PrivateKey:
    """What the corrupt client tells the server."""
    return identity_of(RAW, NAMES.index(name))


def parameters(size: int) -> AggregationParameters:
    """Of a cohort of six or five."""
    return parameters_for(size, len(NAMES), *FRACTIONS)


@dataclass
class Script:
    """One hostile server with one corrupt client, in one run.

    Attributes:
        dice: Throws all that is not prescribed.
        corrupt: Tells the server its keys.
        grid: Of deployed clients.
        known: What the server learnt.
        keys: Of all.
        uploads: By digest of the context and client.
        requests: To unmask, as they were sent.
        reasons: Of all errors.
        unlike: Uploads to a question that was answered before, with other bytes.
    """

    dice: random.Random
    corrupt: str
    grid: InProcessGrid
    known: Knowledge
    keys: tuple[SignedKey, ...] = ()
    uploads: dict[tuple[bytes, str], bytes] = field(default_factory=dict)
    requests: list[bytes] = field(default_factory=list)
    reasons: set[str] = field(default_factory=set)
    unlike: int = 0

    @classmethod
    def played(cls, number: int) -> "Script":
        """Both rounds of one script."""
        dice = random.Random(number)  # noqa: S311 - a script, no secret
        corrupt = dice.choice(NAMES)
        known = Knowledge(frozenset({corrupt}), {size: parameters(size) for size in (5, 6)})
        grid = InProcessGrid(app, len(NAMES), RunConfig.from_run_config(RAW).flat())
        script = cls(dice, corrupt, grid, known)
        enrolled = [script._tell(name, "query.enrol", enrol_request()) for name in NAMES]
        packed = [Enrolled.from_record(reply.content).announcement for reply in enrolled]
        script.keys = tuple(keys_from_bytes(fields(entry, 2)[0])[0] for entry in packed)
        for round_number in (1, 2):
            for attempt in range(1, dice.choice((1, 1, 2)) + 1):
                script._attempt(round_number, attempt)
        return script

    @property
    def honest(self) -> list[str]:
        """All but one."""
        return [name for name in NAMES if name != self.corrupt]

    def train(self, client: str, asked: TrainInstruction, keys: bytes, context: bytes) -> None:
        """Ask a client to train; keep what it uploads."""
        content = joined(keys, context)
        reply = self._tell(client, "train", replace(asked, aggregation=content).to_record())
        if not reply.has_error():
            told = context_from_bytes(context)
            sent = TrainReply.from_record(reply.content).masked
            self.unlike += self.uploads.setdefault((told.digest, client), sent) != sent
            self.known.upload(told, client)

    def unmask(self, member: str, content: bytes) -> None:
        """Ask a member for its shares; keep what it tells."""
        self.requests.append(content)
        asked = UnmaskMessage(kind="train", round_number=1, attempt=1, content=content)
        reply = self._tell(member, UNMASK, asked.to_record())
        if not reply.has_error():
            told = answer_from_bytes(UnmaskMessage.from_record(reply.content).content)
            self.known.answer(member, request_from_bytes(content), told)

    def _tell(self, client: str, kind: str, content: RecordDict) -> Message:
        message = Message(content, dst_node_id=node_of(client), message_type=kind, group_id="1")
        reply = self.grid._answer(message)
        assert reply is not None
        if reply.has_error():
            assert not reply.has_content()
            self.reasons.add(str(reply.error.reason))
        return reply

    def _attempt(self, round_number: int, attempt: int) -> None:
        """Perhaps two views of one attempt; perhaps some clients left out of it."""
        left_out = self.dice.sample(NAMES, self.dice.choice((0, 0, 1)))
        cohort = tuple(name for name in NAMES if name not in left_out)
        views = [self._question(round_number, attempt, cohort) for _ in range(2)]
        for client in self.dice.sample(self.honest, len(self.honest)):
            if self.dice.random() < 0.4:
                self._train_wrongly(client, views[0])
            if self.dice.random() < 0.9:
                self._train(client, self.dice.choice((views[0],) * 7 + (views[1],)))
        lost = self.dice.sample(NAMES, 3)
        for _ in range(_ASKED):
            member, view = self.dice.choice(self.honest), self.dice.choice(views[:1] * 5 + views)
            if self.dice.random() < 0.2:
                self._train(member, self.dice.choice(views))
            missing = lost[: self.dice.choice((0, 0, 0, 1, 2, 3))]
            request = self._request(view[1], member, missing)
            content = request_to_bytes(request)
            if self.dice.random() < 0.3:
                content = self._mangled(request)
            self.unmask(member, content)

    def _question(self, round_number: int, attempt: int, cohort: tuple[str, ...]) -> Question:
        asked = TrainInstruction(
            round_number=round_number,
            attempt=attempt,
            plan=plan().canonical(),
            plan_digest=plan().digest(),
            clipping_norm=plan().clipping_norm,
            parameters=np.full(DIMENSION, self.dice.random(), dtype=np.float32),
        )
        keys = {key.client_id: key.public_key for key in self.keys}
        context = RoundContext(
            run_id=RUN_ID,
            plan=plan().digest(),
            roster=KeyBook(RUN_ID, plan().digest(), keys).digest,
            model=asked.digest(),
            kind="train",
            round_number=round_number,
            attempt=attempt,
            cohort=cohort,
            bits=update_encoding(plan(), DIMENSION, len(cohort)).bits,
        )
        return asked, context

    def _train(self, client: str, question: Question) -> None:
        asked, context = question
        self.train(client, asked, keys_to_bytes(self.keys), context_to_bytes(context))

    def _train_wrongly(self, client: str, question: Question) -> None:
        """One thing of the instruction is wrong."""
        (asked, context), dice = question, self.dice
        wrong: dict[str, Any] = dice.choice(
            [
                {"run_id": "1:another"}, {"plan": "ab" * 32}, {"roster": bytes(32)},
                {"cohort": (client,)}, {"cohort": NAMES[:2]}, {"cohort": context.cohort[::-1]},
                {"bits": 32}, {"kind": "evaluate"}, {"model": bytes(32)},
            ]
        )  # fmt: skip
        changed = context_to_bytes(replace(context, **wrong))
        keys, earlier = keys_to_bytes(self.keys), context.round_number - 1
        swapped = list(self.keys)
        swapped[0] = replace(swapped[0], public_key=swapped[1].public_key)
        honest = context_to_bytes(context)
        old = self._question(max(earlier, 1), dice.choice((1, 2)), context.cohort)
        self.train(
            client,
            *dice.choice(
                [
                    (asked, keys, changed), (asked, keys, changed), (asked, keys, changed),
                    (asked, keys_to_bytes(swapped), honest), (asked, self._flipped(keys), honest),
                    (asked, keys_to_bytes(self.keys[:5]), honest), (asked, b"", b""),
                    (asked, keys, self._flipped(honest)),
                    *([(old[0], keys, context_to_bytes(old[1]))] if earlier else []),
                ]
            ),
        )  # fmt: skip

    def _request(self, context: RoundContext, member: str, lost: Sequence[str]) -> UnmaskRequest:
        """For all that uploaded and the corrupt client, who never does, but for the lost."""
        graph = round_graph(context.cohort, context.digest, parameters(len(context.cohort)))
        uploaded = {
            name: self._upload(context, graph, name)
            for name in context.cohort
            if (context.digest, name) in self.uploads and name not in lost
        }
        headers = {name: upload.header for name, upload in uploaded.items()}
        if self.corrupt in context.cohort and self.corrupt not in lost:
            headers[self.corrupt] = self._forged(context)
        length = (1 + graph.parameters.degree) * KEY_BYTES + SEAL_BYTES
        sealed = {
            name: uploaded[name].ciphertexts[member] if name in uploaded else bytes(length)
            for name in (headers if member in graph.sealed else ())
        }
        chosen = tuple(headers[name] for name in sorted(headers))
        return UnmaskRequest(context=context.digest, headers=chosen, ciphertexts=sealed)

    def _upload(self, context: RoundContext, graph: RoundGraph, name: str) -> MaskedUpdate:
        return upload_from_bytes(self.uploads[context.digest, name], graph.sealed)

    def _forged(self, context: RoundContext) -> SignedHeader:
        """The corrupt client signs whatever it is asked to."""
        content = header_content(context.digest, self.corrupt, bytes(32), bytes(32))
        signature = identity(self.corrupt).sign(content)
        return SignedHeader(
            client_id=self.corrupt, masked=bytes(32), shares=bytes(32), signature=signature
        )

    def _mangled(self, request: UnmaskRequest) -> bytes:
        """The request with one thing wrong, as far as there is anything to be changed."""
        dice, packed = self.dice, request_to_bytes(request)
        stale = dice.choice(self.requests) if self.requests else packed
        if dice.random() < 0.4 or not request.headers:
            return dice.choice((stale, self._flipped(packed)))
        first, *others = request.headers
        renamed = replace(first, client_id=dice.choice((*NAMES, "stranger")))
        some = next(iter(request.ciphertexts.values()), b"")
        sealed = {"stranger": some, **dict.fromkeys(NAMES, some)} if some else {}
        changed = dice.choice(
            [
                replace(request, headers=(renamed, *others), ciphertexts=sealed),
                replace(request, headers=(*request.headers, first)),
                replace(request, ciphertexts=sealed),
                replace(request, context=bytes(32)),
            ]
        )
        return request_to_bytes(changed)

    def _flipped(self, content: bytes) -> bytes:
        """One bit is another."""
        place = self.dice.randrange(len(content))
        flipped = bytes([content[place] ^ (1 << self.dice.randrange(8))])
        return content[:place] + flipped + content[place + 1 :]
