"""Secure aggregation between messages: what a client keeps in Flower's context, and nowhere else.

    enrol         -> Announced
    train, query  Announced | Ready | Masked -> Masked
    unmask        Masked -> Ready

The keys of a run live in the context alone, so they die with the node's process. A client whose
context is lost cannot answer any more, and is a dropped one for the rest of the run: it reveals
nothing twice.
"""

import json
from collections.abc import Callable
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flwr.app import ConfigRecord, RecordDict

from client.identity import membership
from client.masking import Announced, Masked, Membership, Ready
from client.site import ThisSite
from shared.dp.plan import PrivacyPlan
from shared.errors import AggregationRefused, StateError
from shared.messages import TrainInstruction
from shared.query_messages import QueryInstruction
from shared.secagg.encoding import Encoding
from shared.secagg.keys import KeyBook
from shared.secagg.packing import (
    answer_to_bytes,
    context_from_bytes,
    context_to_bytes,
    fields,
    joined,
    keys_from_bytes,
    keys_to_bytes,
    request_from_bytes,
    upload_to_bytes,
)
from shared.secagg.refusal import Refusal
from shared.secagg.ring import Integers
from shared.secagg.transcript import KEY_BYTES

_RECORD = "murmura.aggregation"


class SecureClient:
    """One client's part in the secure aggregation of one run.

    Args:
        site: Whose.
        plan: Of this node.
        state: Flower's context of this node and run; read and written here.
        run_id: Of the run.
    """

    def __init__(self, site: ThisSite, plan: PrivacyPlan, state: RecordDict, run_id: str) -> None:
        self._membership: Membership = membership(site, plan)
        self._plan = plan.digest()
        self._state = state
        self._run_id = run_id

    def announce(self) -> bytes:
        """A fresh key of this run, signed; the same if it is asked again."""
        stored = self._state.config_records.get(_RECORD)
        if stored is None:
            start = Announced.new(self._membership, self._run_id, self._plan)
            self._store(start, None)
        else:
            start = self._announced(stored)
        public = self._membership.identity.public_key().public_bytes_raw()
        return joined(keys_to_bytes((start.announcement(),)), public)

    def upload(
        self,
        instruction: TrainInstruction | QueryInstruction,
        encoding_of: Callable[[int], Encoding],
        encoded: Callable[[Encoding, bytes], Integers],
    ) -> bytes:
        """The masked upload that answers `instruction`.

        Args:
            instruction: Checked against the plan.
            encoding_of: Of this kind of vector, by the size of the cohort.
            encoded: Trains and encodes, given the instruction's digest. Called once all else is
                checked, and never for an attempt that was answered before, which gets the same
                bytes again.

        Raises:
            AggregationRefused: the context is not one that this client may answer.
        """
        keys, told = fields(instruction.aggregation, 2)
        context = context_from_bytes(told)
        said = (context.model, context.kind, context.round_number, context.attempt)
        digest = instruction.digest()
        if said != (digest, instruction.kind, instruction.round_number, instruction.attempt):
            raise AggregationRefused(
                Refusal.CONTEXT_CHANGED, "expected the context of the instruction it came with"
            )
        ready, pending = self._stages(keys)
        if pending is not None and pending.context == context:
            return _packed(pending)
        ready.check(context)
        ready.graph(context)
        encoding = encoding_of(len(context.cohort))
        if context.bits != encoding.bits:
            raise AggregationRefused(
                Refusal.PLAN_CHANGED, f"expected a ring of {encoding.bits}, got {context.bits}"
            )
        masked = ready.mask(context, encoded(encoding, digest))
        sent = _packed(masked)
        self._store(masked.ready.announced, masked.ready, _pending(masked))
        return sent

    def unmask(self, content: bytes) -> bytes:
        """This member's shares, once.

        Raises:
            AggregationRefused: nothing is to be unmasked, or the request may not be answered.
        """
        pending = self._stages(b"")[1]
        if pending is None:
            raise AggregationRefused(Refusal.CONTEXT_CHANGED, "nothing was masked that waits")
        after, answer = pending.unmask(request_from_bytes(content))
        # Forgotten with the answer; what makes sure of it is the site's ledger (Session.unmask),
        # since Flower keeps a context only after the reply has left.
        self._store(after.announced, after)
        return answer_to_bytes(answer)

    def _stages(self, keys: bytes) -> tuple[Ready, Masked | None]:
        stored = self._state.config_records.get(_RECORD)
        if stored is None:
            raise AggregationRefused(
                Refusal.OWN_KEY_MISSING, "this client's key of the run is gone; it restarted"
            )
        start = self._announced(stored)
        announced = keys_from_bytes(keys) if keys else ()
        if not stored["names"]:
            return start.admit(announced), None
        ready = self._ready(stored, start)
        if announced:
            ready = ready.grow(announced)
        pending = _bytes(stored, "pending")
        return ready, _masked(ready, pending) if pending else None

    def _announced(self, stored: ConfigRecord) -> Announced:
        key = X25519PrivateKey.from_private_bytes(_bytes(stored, "key"))
        return Announced(self._membership, self._run_id, self._plan, key)

    def _ready(self, stored: ConfigRecord, start: Announced) -> Ready:
        book = _book(self._run_id, self._plan, str(stored["names"]), _bytes(stored, "public"))
        met, secrets = json.loads(str(stored["met"])), _bytes(stored, "secrets")
        pairs = {
            name: secrets[place * KEY_BYTES : (place + 1) * KEY_BYTES]
            for place, name in enumerate(met)
        }
        last = {kind: (a, b) for kind, (a, b) in json.loads(str(stored["last"])).items()}
        return Ready(start, book, pairs, last)

    def _store(self, start: Announced, ready: Ready | None, pending: bytes = b"") -> None:
        # Secrecy: the context stays on this node; Flower sends it to nobody.
        names = [] if ready is None else list(ready.book.keys)
        self._state[_RECORD] = ConfigRecord(
            {
                "key": start.key.private_bytes_raw(),
                "names": json.dumps(names) if names else "",
                "public": b"" if ready is None else b"".join(ready.book.keys.values()),
                "met": json.dumps([] if ready is None else list(ready.pair_secrets)),
                "secrets": b"" if ready is None else b"".join(ready.pair_secrets.values()),
                "last": json.dumps({} if ready is None else dict(ready.last)),
                "pending": pending,
            }
        )


def _packed(masked: Masked) -> bytes:
    sealed = () if masked.graph.parameters.helped else masked.graph.sealed
    return upload_to_bytes(masked.upload, sealed)


def _pending(masked: Masked) -> bytes:
    """What makes the very same upload again, in a fraction of its size."""
    context, length = context_to_bytes(masked.context), str(masked.dimension).encode()
    return joined(context, length, masked.own, masked.masked)


def _masked(ready: Ready, pending: bytes) -> Masked:
    content, length, own, masked = fields(pending, 4)
    context = context_from_bytes(content)
    return Masked(ready, context, ready.graph(context), int(length), own, masked)


def _bytes(stored: ConfigRecord, name: str) -> bytes:
    value = stored[name]
    if not isinstance(value, bytes):
        raise StateError(f"expected bytes in {name!r} of the context")
    return value


@lru_cache(maxsize=4)
def _book(run_id: str, plan: str, names: str, public: bytes) -> KeyBook:
    """Kept, since all clients of a simulation have the same one."""
    keys = {
        name: public[place * KEY_BYTES : (place + 1) * KEY_BYTES]
        for place, name in enumerate(json.loads(names))
    }
    return KeyBook(run_id, plan, keys)
