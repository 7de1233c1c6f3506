"""What one process keeps between messages: configuration, task and trainer of a run.

In deployment each message has a process of its own; in a simulation one process serves them all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from client.aggregation import SecureClient
from client.charging import Charging
from client.ledger import LedgerHead
from client.queries import (
    answer,
    evaluation_part,
    evaluation_rows,
    statistics_answer,
    training_part,
)
from client.site import Node, ThisSite, this_site
from client.trainer import LocalTraining
from shared.aggregation_messages import UnmaskMessage
from shared.config import RunConfig, Scalar
from shared.device import choose_device
from shared.dp.clipping import Vector
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import randomness_for
from shared.dp.witness import Place
from shared.errors import PrivacyError
from shared.messages import Enrolled, TrainInstruction, TrainReply
from shared.normalisation import Normalisation
from shared.parameters import FlatVector
from shared.query_messages import QueryInstruction, QueryReply
from shared.secagg.encoding import Encoding, query_encoding, update_encoding
from shared.secagg.packing import request_from_bytes
from shared.secagg.ring import Integers
from shared.secagg.witnessed import encode_witnessed
from shared.task import Examples, Task, TaskSettings
from shared.tasks import load_task, task_settings

_KEPT = 64  # sites, so that a simulation does not read a file for each client and round


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
    """

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._plan = PrivacyPlan.from_config(config)
        self._digest = self._plan.digest()
        self._settings = task_settings(config)
        self._randomness = randomness_for(config.seed)
        self._charging = Charging(config, self._plan)
        self._prepared = lru_cache(maxsize=_KEPT)(self._prepare)
        self._examples = lru_cache(maxsize=_KEPT)(self._read)
        self._training_examples = lru_cache(maxsize=_KEPT)(self._read_training)

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
            FederationError: as `this_site`, the task and `LocalTraining.update` raise it.
        """
        site = this_site(node.config, self._config)
        self._check_plan(instruction)
        clipping_norm = self._clipping_norm(instruction)
        normalisation = Normalisation.from_vector(instruction.normalisation)
        _, training = self._prepared(site.settings(self._settings))

        def answer() -> FlatVector | Vector:
            return training.update(
                instruction.parameters,
                self._training_examples(site, normalisation),
                randomness=self._randomness,
                round_number=instruction.round_number,
                attempt=instruction.attempt,
                client_id=site.client_id,
                clipping_norm=clipping_norm,
            )

        def encoding_of(cohort_size: int) -> Encoding:
            return update_encoding(self._plan, len(instruction.parameters), cohort_size)

        found = self._answered(site, instruction, node, encoding_of, answer)
        return TrainReply(
            round_number=instruction.round_number,
            attempt=instruction.attempt,
            plan_digest=self._digest,
            ledger_head="" if found.head is None else found.head.hash,
            ledger_signature="" if found.head is None else found.head.signature,
            update=found.vector,
            masked=found.masked,
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
            FederationError: as `this_site` and the task raise it.
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
            return answer(self._rows(site, instruction), self._plan, query, stream)

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
        self._charging.unmasked(site, request_from_bytes(message.content).context)
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
                site, instruction, node.run_id, lambda: answer().astype(np.float32, copy=False)
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

            integers, heads[0] = self._charging.answered(site, instruction, node.run_id, whole)
            return integers

        upload = self._secure(site, node).upload(instruction, encoding_of, encoded)
        return _Found(vector=np.zeros(0, dtype=np.float32), masked=upload, head=heads[0])

    def _secure(self, site: ThisSite, node: Node) -> SecureClient:
        run_id = f"{node.run_id}:{self._config.output.run_id}"
        return SecureClient(site, self._plan, node.state, run_id)

    def _rows(self, site: ThisSite, instruction: QueryInstruction) -> NDArray[np.float64]:
        examples = self._examples(site)
        if instruction.kind == "statistics":
            return statistics_answer(examples, self._config)
        evaluation = self._config.evaluation
        normalisation = Normalisation.from_vector(instruction.normalisation)
        device = self._device()
        part = evaluation_part(examples, evaluation).to(device)
        part = part if normalisation is None else normalisation.apply(part)
        task, _ = self._prepared(site.settings(self._settings))
        with torch.random.fork_rng(devices=[]):
            model = task.build_model().to(device)
        return evaluation_rows(task, model, instruction.parameters, part, evaluation.loss_bound)

    def _check_plan(self, instruction: TrainInstruction | QueryInstruction) -> None:
        # Guarantee: noise, clip and sampling come from this node's plan; an instruction that
        # promises the server's report another one is refused before any data is read.
        if (instruction.plan, instruction.plan_digest) != (self._plan.canonical(), self._digest):
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

    def _device(self) -> torch.device:
        runtime = self._config.runtime
        return choose_device(runtime.device, runtime.gpu_memory_fraction)

    def _prepare(self, settings: TaskSettings) -> tuple[Task, LocalTraining]:
        task = load_task(self._config.task, settings)
        return task, LocalTraining(self._config, task, self._plan, self._device())

    def _read(self, site: ThisSite) -> Examples:
        task, _ = self._prepared(site.settings(self._settings))
        return task.site_data(site.site)

    def _read_training(self, site: ThisSite, normalisation: Normalisation | None) -> Examples:
        examples = training_part(self._examples(site), self._config.evaluation)
        return examples if normalisation is None else normalisation.apply(examples)


def _place(site: ThisSite, instruction: TrainInstruction | QueryInstruction) -> Place | None:
    """Of an update, for the witness of a simulation; it takes part in no query."""
    if isinstance(instruction, QueryInstruction):
        return None
    number, attempt = instruction.round_number, instruction.attempt
    return Place(client_id=site.client_id, round_number=number, step=1, attempt=attempt)


def session(run_config: Mapping[str, Scalar]) -> Session:
    """The session of a raw run config; the same object for the same config."""
    # With their types: True == 1 == 1.0, but a configuration accepts one of them only.
    return _session(
        tuple(sorted((key, type(run_config[key]), run_config[key]) for key in run_config))
    )


@lru_cache(maxsize=2)
def _session(items: tuple[tuple[str, type[Scalar], Scalar], ...]) -> Session:
    return Session(RunConfig.from_run_config({key: value for key, _, value in items}))
