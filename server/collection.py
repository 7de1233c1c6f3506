"""The updates of one round's cohort, collected one by one or as a sum under masks."""

import math
from collections.abc import Iterator

from flwr.app import Message
from flwr.serverapp import Grid

from server.aggregation import RoundSum
from server.cohort_sum import CohortSums
from server.exchange import cut, exchange
from server.replies import LeftOut, decoded
from server.robust.choice import MEAN
from server.robust.quarantine import Quarantine
from server.robust.round_sum import RobustSum
from server.roster import Roster
from server.secure_sum import SecureSums
from server.sizes import vector_bytes
from shared.config import RunConfig
from shared.dp.plan import PrivacyPlan
from shared.dp.witness import Place
from shared.errors import ProtocolError, TooFewSurvivors
from shared.messages import TrainInstruction, TrainReply
from shared.secagg.encoding import Encoding, update_encoding
from shared.secagg.witnessed import show_sum


class UpdateCollector:
    """Asks cohorts to train.

    Args:
        config: Deadlines, and how many must answer.
        plan: Of the run.
        roster: Who can be asked.
        grid: How they are reached.
        sums: Secure aggregation; None: the server sees each update.
        quarantine: Whom to ask no more; holds the rule by which updates are combined.
    """

    def __init__(
        self,
        config: RunConfig,
        plan: PrivacyPlan,
        roster: Roster,
        grid: Grid,
        sums: SecureSums | None,
        quarantine: Quarantine,
    ) -> None:
        self._cohort = config.cohort
        self._plan = plan
        self._roster = roster
        self._grid = grid
        self._sums = sums
        self._quarantine = quarantine
        self._left_out = LeftOut() if sums is None else sums.left_out
        self.ledger_heads: dict[str, tuple[str, str]] = {}

    def collect(self, instruction: TrainInstruction, cohort: tuple[str, ...]) -> RoundSum:
        """What `cohort` answered to `instruction`.

        Raises:
            TooFewSurvivors: the round is void.
        """
        total = self._begun(instruction, len(cohort))
        self._left_out.begin()
        refused, number = 0, instruction.round_number
        if self._sums is not None:
            self._as_sum(total, self._sums, instruction, cohort)
        elif not self._at_once(total, instruction, cohort):
            answers = self._answers(instruction, cohort)
            del instruction  # and with it the model, once it is sent
            refused = self._one_by_one(total, answers, (number, cohort))
        wanted = math.ceil(self._cohort.minimum_survivors * len(cohort))
        if total.survivors < wanted:
            raise TooFewSurvivors(
                f"round {number} needs {wanted} of {len(cohort)} clients, got "
                f"{total.survivors}{self._left_out.reasons()}"
            )
        if isinstance(total, RobustSum):
            for position in total.combine(self._quarantine.barred, refused):
                self._quarantine.strike(number, cohort[position], "its updates lie far off")
        return total

    def _begun(self, instruction: TrainInstruction, cohort_size: int) -> RoundSum:
        robust, dimension = self._quarantine.robust, len(instruction.parameters)
        number, attempt = instruction.round_number, instruction.attempt
        if robust is not None and robust.rule != MEAN:
            return RobustSum(
                self._plan, dimension, robust,
                cohort_size=cohort_size, round_number=number, attempt=attempt,
            )  # fmt: skip
        return RoundSum(
            self._plan,
            dimension,
            cohort_size=cohort_size,
            round_number=number,
            attempt=attempt,
            clipping_norm=instruction.clipping_norm,
        )

    def _as_sum(
        self,
        total: RoundSum,
        sums: SecureSums,
        instruction: TrainInstruction,
        cohort: tuple[str, ...],
    ) -> None:
        def encoding_of(cohort_size: int) -> Encoding:
            return update_encoding(self._plan, len(instruction.parameters), cohort_size)

        def upload(client: str, reply: Message) -> bytes:
            answer = decoded(reply)
            total.check(answer)
            if len(answer.update) or answer.packed:
                raise ProtocolError("expected an update under masks alone, got one in clear too")
            self._keep_head(client, answer)
            return answer.masked

        try:
            found = sums.ask(instruction, cohort, encoding_of, "train", upload)
        except TooFewSurvivors as error:
            raise TooFewSurvivors(f"{error}{self._left_out.reasons()}") from error
        number, attempt = instruction.round_number, instruction.attempt
        place = Place(client_id="", round_number=number, step=0, attempt=attempt)
        show_sum(found.encoding, found.total, found.clients, place=place)
        total.settle(found.total, found.survivors, inflation=found.encoding.inflation)

    def _at_once(
        self, total: RoundSum, instruction: TrainInstruction, cohort: tuple[str, ...]
    ) -> bool:
        """Whether a cohort engine has taken the whole round."""
        if self._quarantine.robust is not None or not isinstance(self._grid, CohortSums):
            return False
        found = self._grid.cohort_sum(instruction, cohort)
        if found is None:
            return False
        for client, why in sorted(found.lost.items()):
            self._left_out(f"round {instruction.round_number}", client, why)
        total.settle(found.total, found.survivors, inflation=0.0)
        return True

    def _answers(
        self, instruction: TrainInstruction, cohort: tuple[str, ...]
    ) -> Iterator[tuple[int, Message]]:
        """What comes, once it is asked for."""
        return exchange(
            self._grid,
            self._messages(instruction, cohort),
            self._cohort.timeout_s,
            most_bytes=vector_bytes(len(instruction.parameters) + self._plan.adaptive),
        )

    def _one_by_one(
        self,
        total: RoundSum,
        answers: Iterator[tuple[int, Message]],
        asked: tuple[int, tuple[str, ...]],
    ) -> int:
        """Count what comes to a round and cohort; returns how many sent what no client sends."""
        number, cohort = asked
        silent, refused = set(range(len(cohort))), 0
        for position, reply in answers:
            silent.discard(position)
            refused += not self._counted(total, position, reply, (number, cohort[position]))
            del reply  # before the next comes
        for position in sorted(silent):
            self._left_out(f"round {number}", cohort[position], "no answer in time")
        return refused

    def _counted(
        self, total: RoundSum, position: int, reply: Message, place: tuple[int, str]
    ) -> bool:
        """Count one reply, of a round and client; whether an honest client may have sent it."""
        number, client = place
        try:
            answer = decoded(reply)
            if self._quarantine.robust is not None:
                self._quarantine.robust.check(answer.update)
            total.add(position, answer)
            self._keep_head(client, answer)
        except ProtocolError as error:
            self._left_out(f"round {number}", client, cut(error))
            total.give_up(position)
            if not reply.has_error():
                self._quarantine.strike(number, client, cut(error))
                return False
        return True

    def _messages(self, instruction: TrainInstruction, cohort: tuple[str, ...]) -> list[Message]:
        """Nobody else holds them, so that the model in them is gone once they are pushed."""
        record = instruction.to_record()
        return [
            Message(
                record,
                dst_node_id=self._roster.node_ids[client],
                message_type="train",
                group_id=str(instruction.round_number),
            )
            for client in cohort
        ]

    def _keep_head(self, client: str, answer: TrainReply) -> None:
        if answer.ledger_head:
            self.ledger_heads[client] = (answer.ledger_head, answer.ledger_signature)
