"""One run as a site sees it: what is checked, charged, bounded, noised and masked.

Who reads the records is another's matter (`client.computing`); so this is the same in a
simulation, on a stock SuperNode and in a site's guard, and needs no framework that trains.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.aggregation import SecureClient
from client.charging import Charging
from client.computing import Computing
from client.keeping import Keeping
from client.ledger import LedgerHead, SiteLedger
from client.site import Node, ThisSite, this_site
from client.update import answer, in_form, leaving
from shared.aggregation_messages import UnmaskMessage
from shared.config import RunConfig
from shared.dp.clipping import Vector
from shared.dp.mechanisms import RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.queries import SumQuery
from shared.dp.randomness import randomness_for
from shared.dp.witness import Place
from shared.errors import MessageError, PrivacyError
from shared.messages import Enrolled, TrainInstruction, TrainReply
from shared.query_messages import QueryInstruction, QueryReply
from shared.secagg.encoding import Encoding, query_encoding, update_encoding
from shared.secagg.packing import request_from_bytes
from shared.secagg.ring import Integers
from shared.secagg.witnessed import encode_witnessed
from shared.vectors import FlatVector


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What leaves the client, in clear or masked, and where its ledger then stands."""

    vector: FlatVector = field(repr=False)
    masked: bytes = field(repr=False)
    head: LedgerHead | None


class Session:
    """One run as this process sees it.

    Args:
        config: The run's configuration.
        computing: What reads the records.
        ledgers: As `Charging` takes it.
    """

    def __init__(
        self,
        config: RunConfig,
        computing: Computing,
        ledgers: Callable[[Path], SiteLedger] | None = None,
    ) -> None:
        self._config = config
        self._plan = PrivacyPlan.from_config(config)
        self._keeping = Keeping(
            self._plan, config.output.run_id, computing, randomness_for(config.seed)
        )
        self._canonical = self._plan.canonical()
        self._digest = self._plan.digest()
        self._randomness = randomness_for(config.seed)
        self._charging = Charging(config, self._plan, ledgers)

    def enrol(
        self,
        node: Node,
    ) -> Enrolled:
        """This node's name and, for secure aggregation, its key of the run; if it may take part."""
        site = this_site(node.config, self._config)
        if self._plan.aggregation is None:
            return Enrolled(client_id=site.client_id)
        secure = self._secure(site, node)
        return Enrolled(client_id=site.client_id, announcement=secure.announce())

    def train(
        self,
        node: Node,
        instruction: TrainInstruction,
    ) -> TrainReply:
        """Train once, for the plan that was announced and no other, if the ledger allows it.

        Raises:
            PrivacyError: the instruction's plan is not the one of this node's run configuration,
                or the site's ledger refuses.
            ProtocolError: training diverged, or gave a vector of another shape.
            FederationError: as `this_site` and `Computing.update` raise it.
        """
        site = this_site(node.config, self._config)
        self._check_plan(instruction)
        clipping_norm = self._clipping_norm(instruction)

        def update() -> FlatVector | Vector:
            return self._keeping.update(
                site,
                instruction,
                lambda moved: self._bounded(moved, instruction, clipping_norm),
            )

        def encoding_of(cohort_size: int) -> Encoding:
            return update_encoding(self._plan, len(instruction.parameters), cohort_size)

        found = self._answered(site, instruction, node, encoding_of, update)
        return TrainReply(
            round_number=instruction.round_number,
            attempt=instruction.attempt,
            plan_digest=self._digest,
            ledger_head="" if found.head is None else found.head.hash,
            ledger_signature="" if found.head is None else found.head.signature,
            masked=found.masked,
            **in_form(found.vector, self._plan),
        )

    def query(
        self,
        node: Node,
        instruction: QueryInstruction,
    ) -> QueryReply:
        """Answer a question that the plan holds, with a bounded vector, if the ledger allows it.

        Raises:
            PrivacyError: another plan, a question or time that the plan does not hold, or the
                site's ledger refuses.
            FederationError: as `this_site` and `Computing.rows` raise it.
        """
        site = this_site(node.config, self._config)
        self._check_plan(instruction)
        query = self._plan.queries.get(instruction.kind)
        # Guarantee: what is not in the plan is not charged, and so not answered.
        if query is None or not (query.due(instruction.round_number) or not query.every):
            raise PrivacyError(
                f"expected a question of the plan, got {instruction.kind!r} in round "
                f"{instruction.round_number}"
            )
        number, attempt = instruction.round_number, instruction.attempt
        purpose = f"{instruction.kind}_noise"
        stream = self._randomness.stream(purpose, site.client_id, number, attempt)

        def told() -> FlatVector | Vector:
            rows = _checked_rows(self._keeping.rows(site, instruction), query)
            return answer(rows, self._plan, query, stream)

        def encoding_of(cohort_size: int) -> Encoding:
            return query_encoding(self._plan, query, cohort_size)

        found = self._answered(site, instruction, node, encoding_of, told)
        return QueryReply(
            kind=instruction.kind,
            round_number=number,
            attempt=attempt,
            plan_digest=self._digest,
            sums=found.vector,
            masked=found.masked,
        )

    def charge_each(
        self, clients: Sequence[int], instruction: TrainInstruction, ledgers: Path, run_id: str
    ) -> Sequence[bool]:
        """Of each virtual client, by its number, whether its ledger lets it train; all charged.

        Raises:
            PrivacyError: the instruction's plan is not this run's.
            StateError: the ledgers cannot be used.
        """
        self._check_plan(instruction)
        return self._charging.charge_each(clients, instruction, ledgers, run_id)

    def unmask(
        self,
        node: Node,
        message: UnmaskMessage,
    ) -> UnmaskMessage:
        """As a member of a round's committee: its shares, once.

        Raises:
            AggregationRefused: the request is not one that may be answered.
        """
        site = this_site(node.config, self._config)
        told = self._secure(site, node).unmask(message.content)
        # Guarantee: on disk before it leaves. Flower sends a reply before it keeps the context, so
        # a process that dies in between comes back to one that has not answered yet.
        context = request_from_bytes(message.content).context
        self._charging.unmasked(site, context, node.unsettled)
        return replace(message, content=told)

    def _answered(
        self,
        site: ThisSite,
        instruction: TrainInstruction | QueryInstruction,
        node: Node,
        encoding_of: Callable[[int], Encoding],
        answer: Callable[[], FlatVector | Vector],
    ) -> "_Found":
        """What leaves: the vector, or under secure aggregation a masked encoding of it."""
        if self._plan.aggregation is None:
            clear, head = self._charging.answered(
                site,
                instruction,
                node.run_id,
                lambda: answer().astype(np.float32, copy=False),
                node.unsettled,
            )
            return _Found(vector=clear, masked=b"", head=head)
        labels = (instruction.kind, site.client_id, instruction.round_number, instruction.attempt)
        heads: list[LedgerHead | None] = [None]
        place = _place(site, instruction)

        def encoded(encoding: Encoding, digest: bytes) -> Integers:
            def whole() -> Integers:
                return encode_witnessed(
                    encoding,
                    answer().astype(np.float64),
                    digest,
                    self._randomness.stream("rounding", *labels),
                    self._randomness.stream("noise_share", *labels),
                    place=place,
                )

            integers, heads[0] = self._charging.answered(
                site, instruction, node.run_id, whole, node.unsettled
            )
            return integers

        upload = self._secure(site, node).upload(instruction, encoding_of, encoded)
        return _Found(vector=np.zeros(0, dtype=np.float32), masked=upload, head=heads[0])

    def _secure(self, site: ThisSite, node: Node) -> SecureClient:
        run_id = f"{node.run_id}:{self._config.output.run_id}"
        return SecureClient(site, self._plan, node.state, run_id)

    def _bounded(
        self, moved: FlatVector | Vector, instruction: TrainInstruction, clipping_norm: float
    ) -> FlatVector | Vector:
        if moved.shape != instruction.parameters.shape:
            raise MessageError(
                f"expected an update of shape {instruction.parameters.shape}, got {moved.shape}"
            )
        mechanism = self._plan.mechanism
        if isinstance(mechanism, RecordPrivacy) and mechanism.distributed:
            # Secrecy: no noise yet; only `Encoding.encode`, which cuts it, may let it out.
            return moved
        return leaving(moved.astype(np.float32, copy=False), mechanism, clipping_norm)

    def _check_plan(self, instruction: TrainInstruction | QueryInstruction) -> None:
        # Guarantee: noise, clip and sampling come from this node's plan; an instruction that
        # promises the server's report another one is refused before any data is read.
        if (instruction.plan, instruction.plan_digest) != (self._canonical, self._digest):
            raise PrivacyError(
                f"expected an instruction for the plan {self._digest[:12]}, got "
                f"{instruction.plan_digest[:12]}"
            )
        if instruction.round_number > self._plan.rounds:
            raise PrivacyError(
                f"expected a round of the plan's {self._plan.rounds}, got "
                f"{instruction.round_number}"
            )

    def _clipping_norm(self, instruction: TrainInstruction) -> float:
        asked = instruction.clipping_norm
        # Guarantee: a fixed clip is the plan's. An adaptive one is a function of noisy counts; at
        # any clip the server's noise is in proportion to it.
        if asked != self._plan.clipping_norm and not (self._plan.adaptive and asked > 0.0):
            raise PrivacyError(
                f"expected the plan's clipping norm {self._plan.clipping_norm!r}, got {asked!r}"
            )
        return asked


def _checked_rows(rows: NDArray[np.float64], query: SumQuery) -> NDArray[np.float64]:
    if rows.ndim != 2 or rows.shape[1] != query.width:
        raise MessageError(f"expected rows of {query.width} numbers, got shape {rows.shape}")
    return rows


def _place(site: ThisSite, instruction: TrainInstruction | QueryInstruction) -> Place | None:
    """Of an update, for the witness of a simulation; it takes part in no query."""
    if isinstance(instruction, QueryInstruction):
        return None
    number, attempt = instruction.round_number, instruction.attempt
    return Place(client_id=site.client_id, round_number=number, step=1, attempt=attempt)
