"""Asks the sites' own data for noised sums: evaluation, and statistics of the inputs.

Charged before it is asked, like a round of training; at client level the server adds the noise.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flwr.app import Message
from flwr.serverapp import Grid

from server.at_rest import AtRest, whole
from server.budget import Budget
from server.cohort import draw_cohort
from server.exchange import cut, exchange, reason_of
from server.robust.quarantine import Quarantine
from server.roster import Roster
from server.secure_sum import SecureSums
from server.sizes import vector_bytes
from shared.config import RunConfig
from shared.dp.clipping import Vector
from shared.dp.mechanisms import ClientPrivacy, RecordPrivacy
from shared.dp.noise import gaussian_noise
from shared.dp.plan import PrivacyPlan
from shared.dp.queries import SumQuery, noisy_sum_of_units
from shared.dp.randomness import Randomness, RandomStream
from shared.errors import ProtocolError, TooFewSurvivors
from shared.normalisation import Normalisation
from shared.parameters import FlatVector
from shared.query_messages import MESSAGE_TYPES, QueryInstruction, QueryReply
from shared.secagg.encoding import Encoding, query_encoding

_LOGGER = logging.getLogger("murmura.server")
_NOTHING: FlatVector = np.zeros(0, dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateScores:
    """Means over the sites' own records, or over clients; noisy, so a little outside [0, 1] too."""

    loss: float
    accuracy: float


class PrivateQueries:
    """Asks what the plan holds, and nothing else.

    Args:
        config: Bounds and deadlines.
        plan: Which questions, how much noise.
        roster: Who can be asked.
        grid: How they are reached.
        budget: Where each question is charged.
        randomness: Of cohorts and of the server's noise.
        sums: Secure aggregation; None: the server sees each answer.
        quarantine: Whom to ask no more; None: nobody.
    """

    def __init__(  # noqa: PLR0913 - what a run has
        self,
        config: RunConfig,
        plan: PrivacyPlan,
        *,
        roster: Roster,
        grid: Grid,
        budget: Budget,
        randomness: Randomness,
        sums: SecureSums | None = None,
        quarantine: Quarantine | None = None,
    ) -> None:
        self._config = config
        self._plan = plan
        self._roster = roster
        self._grid = grid
        self._budget = budget
        self._randomness = randomness
        self._sums = sums
        self._quarantine = quarantine or Quarantine(None)

    def statistics(self) -> Normalisation | None:
        """Statistics of all inputs; None where the plan does not ask for them.

        Raises:
            BudgetExhausted: the question would overspend.
            TooFewSurvivors: too few answered to be summed under masks.
        """
        query = self._plan.statistics
        if query is None:
            return None
        sums, _ = self._ask("statistics", query, 1, _NOTHING, _NOTHING)
        wanted = self._config.statistics
        return Normalisation.from_sums(sums, wanted.low, wanted.high)

    def evaluation(
        self,
        round_number: int,
        parameters: FlatVector | AtRest,
        normalisation: Normalisation | None,
    ) -> PrivateScores | None:
        """Loss and accuracy on the sites' own data; None where it is not asked in this round.

        Under secure aggregation also None where too few answered: charged, and not asked again.

        Raises:
            BudgetExhausted: the question would overspend.
        """
        query = self._plan.evaluation
        if query is None or not query.due(round_number):
            return None
        vector = _NOTHING if normalisation is None else normalisation.vector()
        try:
            sums, expected = self._ask("evaluate", query, round_number, parameters, vector)
        except TooFewSurvivors as error:
            # A round of training that stands is not thrown away for its scores.
            _LOGGER.warning("round %d has no private scores: %s", round_number, error)
            return None
        # At client level the number of units is public; at record level it was asked for.
        count = max(1.0, float(sums[2]) if expected is None else expected)
        bound = self._config.evaluation.loss_bound
        return PrivateScores(loss=float(sums[0]) / count * bound, accuracy=float(sums[1]) / count)

    def _ask(
        self,
        kind: str,
        query: SumQuery,
        round_number: int,
        parameters: FlatVector | AtRest,
        normalisation: FlatVector,
    ) -> tuple[Vector, float | None]:
        """The noisy sum, and the expected number of units where it is public."""
        attempt = self._budget.next_attempt(round_number, kind)
        cohort = self._cohort(kind, round_number, attempt)
        self._budget.charge(round_number, attempt, cohort, kind)
        instruction = QueryInstruction(
            kind=kind,
            round_number=round_number,
            attempt=attempt,
            plan=self._plan.canonical(),
            plan_digest=self._plan.digest(),
            parameters=whole(parameters),
            normalisation=normalisation,
        )
        stream = self._randomness.stream(f"{kind}_server_noise", round_number, attempt)
        if self._sums is not None:
            return self._summed(self._sums, instruction, query, cohort, stream)
        answers = self._collect(instruction, cohort, query.width)
        if isinstance(self._plan.mechanism, RecordPrivacy):
            # Each answer has its own noise already.
            return np.sum([np.zeros(query.width), *answers], axis=0), None
        return noisy_sum_of_units(answers, query, stream=stream), self._expected()

    def _summed(
        self,
        sums: SecureSums,
        instruction: QueryInstruction,
        query: SumQuery,
        cohort: tuple[str, ...],
        stream: RandomStream,
    ) -> tuple[Vector, float | None]:
        """`_ask` under secure aggregation."""

        def encoding_of(cohort_size: int) -> Encoding:
            return query_encoding(self._plan, query, cohort_size)

        def upload(client: str, reply: Message) -> bytes:
            del client
            answer = _answer(reply, instruction)
            if len(answer.sums):
                raise ProtocolError("expected a sum under masks alone, got one in clear too")
            return answer.masked

        kind = MESSAGE_TYPES[instruction.kind]
        found = sums.ask(instruction, cohort, encoding_of, kind, upload)
        if isinstance(self._plan.mechanism, RecordPrivacy):
            return found.total, None
        if self._plan.distributed:
            return found.total, self._expected()
        # Guarantee: rounding under masks made each client's part longer.
        stddev = query.noise_stddev * (1.0 + found.encoding.inflation)
        noise = gaussian_noise(query.width, stddev, stream=stream)
        return found.total + noise, self._expected()

    def _cohort(self, kind: str, round_number: int, attempt: int) -> tuple[str, ...]:
        if not isinstance(self._plan.mechanism, ClientPrivacy):
            return self._quarantine.admitted(self._roster.client_ids)
        return draw_cohort(
            self._roster.places,
            self._plan,
            self._randomness,
            round_number=round_number,
            attempt=attempt,
            purpose=f"{kind}_cohort",
        )

    def _expected(self) -> float:
        if isinstance(self._plan.mechanism, ClientPrivacy):
            return self._plan.denominator
        return float(self._plan.population)

    def _collect(
        self, instruction: QueryInstruction, cohort: Sequence[str], width: int
    ) -> list[Vector]:
        """Answers in the order of the cohort, so that their sum is the same over any transport."""
        record = instruction.to_record()
        messages = [
            Message(
                record,
                dst_node_id=self._roster.node_ids[client],
                message_type=MESSAGE_TYPES[instruction.kind],
                group_id=str(instruction.round_number),
            )
            for client in cohort
        ]
        found: dict[int, Vector] = {}
        timeout_s, most = self._config.cohort.timeout_s, vector_bytes(width)
        for position, reply in exchange(self._grid, messages, timeout_s, most_bytes=most):
            try:
                found[position] = _checked(reply, instruction, width)
            except ProtocolError as error:
                _LOGGER.warning(
                    "%s: %s is left out: %s", instruction.kind, cohort[position], cut(error)
                )
        return [found[position] for position in sorted(found)]


def _checked(reply: Message, asked: QueryInstruction, width: int) -> Vector:
    answer = _answer(reply, asked)
    if answer.masked:
        raise ProtocolError("expected a sum in clear alone, got bytes under masks too")
    if answer.sums.shape != (width,) or not np.isfinite(answer.sums).all():
        raise ProtocolError(f"expected {width} finite numbers, got shape {answer.sums.shape}")
    return answer.sums.astype(np.float64)


def _answer(reply: Message, asked: QueryInstruction) -> QueryReply:
    if reply.has_error():
        raise ProtocolError(reason_of(reply))
    answer = QueryReply.from_record(reply.content)
    expected = (asked.kind, asked.round_number, asked.attempt, asked.plan_digest)
    if (answer.kind, answer.round_number, answer.attempt, answer.plan_digest) != expected:
        raise ProtocolError(f"expected an answer to {expected[:3]}, got one to another question")
    return answer
