"""One run's state, and what happens to it in a round: sample -> broadcast -> collect -> step."""

import logging
from dataclasses import dataclass
from functools import partial

import numpy as np
from flwr.serverapp import Grid

from server.aggregation import RoundSum, correlated_noise
from server.budget import Budget
from server.checkpoint import Checkpoint, restore, resumable, save
from server.cohort import draw_cohort
from server.collection import UpdateCollector
from server.enrolment import Enrolment
from server.environment import code_digest
from server.evaluation import Evaluator, Measurement
from server.global_model import GlobalModel
from server.pictures import kept
from server.preparation import Prepared
from server.progress import RoundFinished, RunFinished, tell, told
from server.queries import PrivateQueries, PrivateScores
from server.recording import Recorder
from server.report.build import Outcome, build_report
from server.report.forms import write_forms
from server.report.results import REPORT, SUMMARY, build_summary, write_results
from server.report.terminal import summary_lines
from server.robust.choice import robust_of
from server.robust.quarantine import Quarantine
from server.roster import Roster
from server.run_folder import RunFolder
from server.secure_sum import secure_sums
from server.traffic import Spent, begun
from shared.config import RunConfig
from shared.dp.plan import PrivacyPlan
from shared.errors import TooFewSurvivors
from shared.messages import TrainInstruction
from shared.normalisation import Normalisation
from shared.parameters import FlatVector
from shared.spans import span

_LOGGER = logging.getLogger("murmura.server")


@dataclass(frozen=True, slots=True)
class _Collected:
    """Of a round's exchange, besides the sum."""

    asked: int
    answered: int
    attempt: int


class Federation:
    """One run between two rounds.

    Args:
        config: The run's configuration.
        plan: Its privacy plan.
        prepared: Its task and initial model.
        folder: Where its results go, and where a checkpoint may lie.
        grid: How its clients are reached; they are asked for their names at once.

    Raises:
        StateError: what lies in `folder` cannot be taken up.
        ConfigurationError: the population is not there.
    """

    def __init__(
        self,
        config: RunConfig,
        plan: PrivacyPlan,
        prepared: Prepared,
        folder: RunFolder,
        grid: Grid,
    ) -> None:
        self._config = config
        self._plan = plan
        self._digest = plan.digest()
        self._folder = folder
        self._grid = grid
        self._randomness = prepared.randomness
        self._initial = prepared.model
        self._code, self._resumable = code_digest(), resumable(config)
        self._lost, self._seconds = 0, 0.0
        self._last: Measurement | None = None
        self._normalisation: Normalisation | None = None
        self.rounds_done = 0
        self.model = GlobalModel(config, plan, prepared, folder)
        self._clipping_norm = plan.clipping_norm
        self._noise = correlated_noise(plan, len(self.model.told()))
        self._quarantine = Quarantine(robust_of(config, plan))
        self._budget = Budget(plan, folder, repeatable=prepared.randomness.seeded)
        self._restore()
        self._evaluator = Evaluator(prepared.task, config)
        helpers = () if plan.aggregation is None else plan.aggregation.helper_names
        self._enrolment = Enrolment(grid, config, helpers, keys=plan.aggregation is not None)
        self._roster: Roster = self._enrolment.begin()
        sums = secure_sums(config, plan, self._roster, grid)
        self._admit = None if sums is None else sums.join
        self._collector = UpdateCollector(config, plan, self._roster, grid, sums, self._quarantine)
        self._queries = PrivateQueries(
            config,
            plan,
            roster=self._roster,
            grid=grid,
            budget=self._budget,
            randomness=self._randomness,
            sums=sums,
            quarantine=self._quarantine,
        )
        # Last, since it is the one that must be closed.
        self.recorder = Recorder(folder, first_round=self.rounds_done + 1, config=config)

    def _restore(self) -> None:
        checkpoint = restore(self._folder, self._config, self._code)
        if checkpoint is not None:
            self._budget.check_covers(checkpoint.round_number)
        self.model.begin(checkpoint)
        if checkpoint is None:
            return
        self._normalisation = Normalisation.from_vector(checkpoint.normalisation)
        self._clipping_norm = checkpoint.clipping_norm
        self._quarantine.restore(checkpoint.strikes)
        if self._noise is not None:
            self._noise.restore(checkpoint.noise)
        self.rounds_done = checkpoint.round_number
        self._lost = checkpoint.clients_lost
        self._seconds = checkpoint.seconds

    def prepare_inputs(self) -> None:
        """Ask once, before the first round, how inputs are normalised, if the plan asks it."""
        if self._normalisation is None:
            self._normalisation = self._queries.statistics()
        self._evaluator.normalise(self._normalisation)

    def play_round(self, round_number: int) -> None:
        """Everything of one round; on disk when it returns."""
        spent = begun()
        self._enrolment.join(self._admit)
        total, collected = self._collected(round_number)
        self._step(total, round_number, collected.attempt)
        del total  # as large as two models
        self.rounds_done = round_number
        if self._noise is not None:
            # Guarantee: on disk before anybody sees it; a crash cannot release this row twice.
            self._save()
        measured = self._measure(round_number)
        scores = self._queries.evaluation(round_number, self.model.at_rest, self._normalisation)
        self._record(round_number, collected, (measured, scores), spent)

    def _collected(self, round_number: int) -> tuple[RoundSum, _Collected]:
        """The round's sum, of the first attempt at it that is not void."""
        first = self._budget.next_attempt(round_number)
        last = first + self._config.cohort.attempts - 1
        self._quarantine.begin_round()
        for attempt in range(first, last + 1):
            drawn = draw_cohort(
                self._roster.places,
                self._plan,
                self._randomness,
                round_number=round_number,
                attempt=attempt,
            )
            cohort = self._quarantine.admitted(drawn)
            with span("accounting"):
                self._budget.charge(round_number, attempt, cohort)
            try:
                with span("messages"):
                    # No name for the instruction: it holds the model until it is sent.
                    total = self._collector.collect(
                        self._instruction(round_number, attempt), cohort
                    )
            except TooFewSurvivors as error:
                if attempt == last:
                    raise
                # Guarantee: charged, and asked again with fresh noise, masks and cohort.
                _LOGGER.warning("round %d is void: %s", round_number, error)
            else:
                return total, _Collected(len(cohort), total.survivors, attempt)
        raise TooFewSurvivors(f"round {round_number} needs an attempt, got none")

    def _instruction(self, round_number: int, attempt: int) -> TrainInstruction:
        return TrainInstruction(
            round_number=round_number,
            attempt=attempt,
            plan=self._plan.canonical(),
            plan_digest=self._digest,
            clipping_norm=self._clipping_norm,
            parameters=self.model.told(),
            normalisation=self._normalised(),
        )

    def _step(self, total: RoundSum, round_number: int, attempt: int) -> None:
        noise = self._randomness.stream("server_noise", round_number, attempt)
        with span("noise"):
            mean = total.mean(noise, self._noise)
        with span("step"):
            own = partial(self._randomness.stream, "own_part", round_number, attempt)
            self.model.step(mean, own)
        if self._plan.adaptive:
            count_noise = self._randomness.stream("count_noise", round_number, attempt)
            self._clipping_norm = total.next_clipping_norm(count_noise)

    def _normalised(self) -> FlatVector:
        found = self._normalisation
        return np.zeros(0, dtype=np.float32) if found is None else found.vector()

    def _measure(self, round_number: int) -> Measurement | None:
        every = self._config.runtime.evaluate_every
        due = not round_number % every or round_number == self._config.rounds
        if not (due and self._evaluator.whole):
            return None
        with span("evaluate"):
            return kept(self._folder, round_number, self._evaluator.measure(self.model.alone()))

    def _record(
        self,
        round_number: int,
        collected: _Collected,
        found: tuple[Measurement | None, PrivateScores | None],
        spent: Spent,
    ) -> None:
        (measured, scores), seconds = found, spent.seconds
        lost = collected.asked - collected.answered
        self._last, self._lost = measured, self._lost + lost
        self._seconds += seconds
        with span("accounting"):
            epsilon = self._budget.epsilon()
        event = RoundFinished(
            round_number=round_number,
            rounds=self._config.rounds,
            asked=collected.asked,
            answered=collected.answered,
            lost=lost,
            loss=measured.loss if measured else None,
            accuracy=measured.accuracy if measured else None,
            private_loss=scores.loss if scores else None,
            private_accuracy=scores.accuracy if scores else None,
            epsilon=epsilon,
            epsilon_budget=self._plan.epsilon_budget,
            seconds=seconds,
            rejected=len(self._quarantine.rejected),
            quarantined=self._quarantine.names,
            metrics=measured.metrics if measured else {},
            bytes_down=spent.bytes[0],
            bytes_up=spent.bytes[1],
        )
        with span("disk"):
            self.recorder.record(event)
        self._save()
        self.model.rest()
        tell(f"round {round_number}/{self._config.rounds}: {told(event)}", event)

    def _save(self) -> None:
        checkpoint = Checkpoint(
            round_number=self.rounds_done,
            parameters=self.model.at_rest,
            optimizer=self.model.optimizer,
            config=self._resumable,
            code_digest=self._code,
            clients_lost=self._lost,
            seconds=self._seconds,
            normalisation=self._normalised(),
            clipping_norm=self._clipping_norm,
            noise={} if self._noise is None else self._noise.state(),
            strikes=self._quarantine.state(),
        )
        with span("disk"):
            save(self._folder, checkpoint)

    def finish(self) -> None:
        """Write model, report and, last, the summary, which says that the run is finished."""
        outcome = Outcome(
            config=self._config,
            plan=self._plan,
            charges=self._budget.charges,
            rounds_done=self.rounds_done,
            simulated=getattr(self._grid, "simulated", False),
            policy=self._randomness.policy,
            accuracy_by_round=self.recorder.accuracy_by_round,
            final=self._last or self._evaluator.measure(self.model.parameters),
            normalisation=self._normalisation,
            ledger_heads=self._collector.ledger_heads,
            roster=self._roster,
        )
        write_results(self._folder, outcome, self._initial, self.model.at_rest)
        report = build_report(outcome, self._folder.path.name)
        self._folder.write_json(REPORT, report)
        write_forms(self._folder, report)
        summary = build_summary(
            self._folder, outcome, report, clients_lost=self._lost, seconds=self._seconds
        )
        self._folder.write_json(SUMMARY, summary)
        for line in summary_lines(summary):
            _LOGGER.info("%s", line)
        tell(
            f"finished: {self._folder.path}",
            RunFinished(folder=self._folder.path, summary=summary),
        )
