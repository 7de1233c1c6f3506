"""Sums of a cohort's vectors by secure aggregation, over any Flower grid: two exchanges each.

What comes out is a sum over at least the plan's number of survivors, or TooFewSurvivors; no vector
of one client is ever in this process but under its masks.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from flwr.app import Message
from flwr.serverapp import Grid

from server.exchange import cut, exchange, reason_of
from server.replies import LeftOut
from server.roster import Roster
from server.sizes import answer_bytes, upload_bytes
from server.unmasking import Collecting, Unmasking
from shared.aggregation_messages import UNMASK, UnmaskMessage
from shared.config import RunConfig
from shared.dp.clipping import Vector
from shared.dp.plan import PrivacyPlan
from shared.errors import ProtocolError, SpoiledSum, TooFewSurvivors
from shared.messages import TrainInstruction
from shared.query_messages import QueryInstruction
from shared.secagg.encoding import Encoding, parameters_of
from shared.secagg.exchange import RoundContext, UnmaskAnswer
from shared.secagg.keys import KeyBook, SignedKey
from shared.secagg.packing import (
    answer_from_bytes,
    context_to_bytes,
    fields,
    joined,
    keys_from_bytes,
    keys_to_bytes,
    request_to_bytes,
    upload_from_bytes,
)
from shared.secagg.ring import Integers

_ASKED_AT_ONCE = 40  # members of a committee: bounds memory; small federations ask all at once
_LOGGER = logging.getLogger("murmura.server")
Instruction = TrainInstruction | QueryInstruction
# The upload in the reply of a client; raises ProtocolError where it answers something else.
Upload = Callable[[str, Message], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecureSum:
    """What one attempt came to.

    Attributes:
        total: Sum of the survivors' vectors, with the noise that they shared, shape (d,).
        clients: Who they are.
        survivors: How many they are.
        encoding: What rounding did to one unit.
    """

    total: Vector = field(repr=False)
    clients: tuple[str, ...] = field(repr=False)
    survivors: int
    encoding: Encoding


class SecureSums:
    """Asks cohorts for sums.

    Args:
        plan: Of the run.
        roster: Who can be asked; each has announced its key.
        grid: How they are reached.
        run_id: Of the run, as clients know it.
        timeout_s: Of each exchange.

    Attributes:
        left_out: Who was lost of the last sum.

    Raises:
        ProtocolError: an announcement that is none.
        AggregationRefused: too few keys, one twice, or one that is not signed for this run.
    """

    def __init__(
        self, plan: PrivacyPlan, roster: Roster, grid: Grid, *, run_id: str, timeout_s: float
    ) -> None:
        self._plan = plan
        self._roster = roster
        self._grid = grid
        self._run_id = run_id
        self._timeout_s = timeout_s
        announced = [_announced(name, roster.announcements[name]) for name in roster.client_ids]
        self._keys = tuple(key for key, _ in announced)
        # Those that the clients brought: only they know the roster, and only they need it.
        self._identities = {key.client_id: identity for key, identity in announced}
        self._book = self._checked(self._keys, self._identities)
        self._packed = keys_to_bytes(self._keys)
        self._informed: set[str] = set()
        self._barred: set[str] = set()
        aggregation = plan.aggregation
        self._helpers = () if aggregation is None else aggregation.helper_names
        self.left_out = LeftOut()

    def ask(
        self,
        instruction: Instruction,
        cohort: tuple[str, ...],
        encoding_of: Callable[[int], Encoding],
        message_type: str,
        upload: Upload,
    ) -> SecureSum:
        """The sum of what `cohort` answers to `instruction`.

        Args:
            instruction: As all of them receive it, but for keys.
            cohort: Ascending.
            encoding_of: Of their vectors, by the cohort's size.
            message_type: Of the first exchange.
            upload: Reads the masked upload out of the reply of a client.

        Raises:
            TooFewSurvivors: too few uploads or answers, or a cohort too small to hide anybody.
        """
        self.left_out.begin()
        cohort = tuple(client for client in cohort if client not in self._barred)
        try:
            parameters = parameters_of(self._plan, len(cohort))
        except ValueError as error:
            raise TooFewSurvivors(f"expected a cohort that hides each in it: {error}") from error
        encoding = encoding_of(len(cohort))
        helpers = set(self._helpers)
        if not helpers <= set(cohort):
            raise TooFewSurvivors(f"expected all helpers, got {len(helpers & set(cohort))}")
        context = RoundContext(
            run_id=self._run_id,
            plan=self._plan.digest(),
            roster=self._book.digest,
            model=instruction.digest(),
            kind=instruction.kind,
            round_number=instruction.round_number,
            attempt=instruction.attempt,
            cohort=cohort,
            bits=encoding.bits,
        )
        collecting = Collecting.of(
            context, encoding.length, self._identities, parameters, self._helpers
        )
        messages = self._instructions(instruction, context, message_type)
        self._collect(collecting, messages, upload)
        total = encoding.decode(self._unmasked(collecting.close()), context.model)
        clients = tuple(sorted(collecting.headers))
        return SecureSum(total=total, clients=clients, survivors=len(clients), encoding=encoding)

    def join(self, client: str, announcement: bytes) -> None:
        """Take up the key of a client that joins; everybody is sent all keys once more.

        Raises:
            ProtocolError: an announcement that is none; nothing has changed.
            AggregationRefused: as a client would refuse the keys; likewise.
        """
        key, identity = _announced(client, announcement)
        keys, identities = (*self._keys, key), {**self._identities, client: identity}
        self._book = self._book.grown(self._checked(keys, identities))
        self._keys, self._identities = keys, identities
        self._packed = keys_to_bytes(keys)
        # Guarantee: a client refuses a context of keys that it was not shown.
        self._informed.clear()

    def _checked(self, keys: Sequence[SignedKey], identities: Mapping[str, bytes]) -> KeyBook:
        """Refused as a client refuses it, before anybody trains in vain."""
        return KeyBook.checked(keys, identities, self._run_id, self._plan.digest())

    def _instructions(
        self, instruction: Instruction, context: RoundContext, message_type: str
    ) -> list[Message]:
        packed = context_to_bytes(context)
        # Two records, whoever gets them: of clients that know all keys, and of the others.
        known, fresh = (
            replace(instruction, aggregation=joined(keys, packed)).to_record()
            for keys in (b"", self._packed)
        )
        return [
            Message(
                known if client in self._informed else fresh,
                dst_node_id=self._roster.node_ids[client],
                message_type=message_type,
                group_id=str(instruction.round_number),
            )
            for client in context.cohort
        ]

    def _collect(self, collecting: Collecting, messages: Sequence[Message], upload: Upload) -> None:
        context = collecting.context
        helped, sealed = collecting.graph.parameters.helped, collecting.graph.sealed
        silent, what = set(context.cohort), f"{context.kind}, round {context.round_number}"
        most = upload_bytes(collecting.graph, len(collecting.total), context.bits)
        for position, reply in exchange(self._grid, messages, self._timeout_s, most_bytes=most):
            client = context.cohort[position]
            silent.discard(client)
            try:
                content = upload(client, reply)
                found = upload_from_bytes(content, () if helped else sealed)
                if found.header.client_id != client:
                    raise ProtocolError(f"expected the upload of {client!r}, got another's")
                collecting.add(found)
                self._informed.add(client)
            except ProtocolError as error:
                self.left_out(what, client, cut(error))
        for client in sorted(silent):
            self.left_out(what, client, "no answer in time")

    def _unmasked(self, unmasking: Unmasking) -> Integers:
        """Ask the committee until enough have told the truth.

        Those who uploaded are asked first, and of them those to whom no shares need be sent.

        Raises:
            TooFewSurvivors: too few answered.
            SpoiledSum: what some client shared is false; it is not asked again in this run.
        """
        collected = unmasking.collected
        context, survivors = collected.context, collected.headers.keys()
        members = sorted(collected.graph.committee, key=lambda member: member not in survivors)
        pairs = sum(map(len, unmasking.undone.values()))
        most = answer_bytes(len(survivors), pairs, len(collected.total), context.bits)
        spoiled: SpoiledSum | None = None
        for start in range(0, len(members), _ASKED_AT_ONCE):
            asked = members[start : start + _ASKED_AT_ONCE]
            messages = [self._request(unmasking, member) for member in asked]
            for position, reply in exchange(self._grid, messages, self._timeout_s, most_bytes=most):
                try:
                    unmasking.add(_answer(reply, asked[position]))
                except ProtocolError as error:
                    _LOGGER.warning(
                        "%s, round %d: %s does not help to unmask: %s",
                        context.kind,
                        context.round_number,
                        asked[position],
                        cut(error),
                    )
                try:
                    if unmasking.complete:
                        return unmasking.finish()
                except SpoiledSum as error:
                    spoiled = error
        if spoiled is None:
            return unmasking.finish()
        self._barred.update(spoiled.guilty)
        for client in spoiled.guilty:
            _LOGGER.warning("%s sealed false shares; it is not asked again in this run", client)
        raise spoiled

    def _request(self, unmasking: Unmasking, member: str) -> Message:
        context = unmasking.collected.context
        asked = UnmaskMessage(
            kind=context.kind,
            round_number=context.round_number,
            attempt=context.attempt,
            content=request_to_bytes(unmasking.request(member)),
        )
        return Message(
            asked.to_record(),
            dst_node_id=self._roster.node_ids[member],
            message_type=UNMASK,
            group_id=str(context.round_number),
        )


def _announced(client: str, announcement: bytes) -> tuple[SignedKey, bytes]:
    """The key that `client` made for the run, and its identity."""
    packed, identity = fields(announcement, 2)
    keys = keys_from_bytes(packed)
    if [key.client_id for key in keys] != [client]:
        raise ProtocolError(f"expected one key of {client!r} itself, got others")
    return keys[0], identity


def _answer(reply: Message, member: str) -> UnmaskAnswer:
    if reply.has_error():
        raise ProtocolError(reason_of(reply))
    content = UnmaskMessage.from_record(reply.content).content
    answer = answer_from_bytes(content)
    if answer.member != member:
        raise ProtocolError(f"expected the answer of {member!r}, got another's")
    return answer


def secure_sums(
    config: RunConfig, plan: PrivacyPlan, roster: Roster, grid: Grid
) -> SecureSums | None:
    """Those of a run; None where nothing is masked."""
    if plan.aggregation is None:
        return None
    # As the clients name the run: Flower's number, and ours where it was given beforehand.
    run_id = f"{grid.run.run_id}:{config.output.run_id}"
    return SecureSums(plan, roster, grid, run_id=run_id, timeout_s=config.cohort.timeout_s)
