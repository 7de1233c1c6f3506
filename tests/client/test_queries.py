"""What a site tells besides its update."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from client.queries import evaluation_part, evaluation_rows, statistics_answer, training_part
from client.site import Node
from client.update import answer
from shared.config import RunConfig, Scalar
from shared.config_sections import EvaluationConfig
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import SeededRandomness
from shared.errors import PrivacyError
from shared.parameters import load
from shared.query_messages import QueryInstruction
from shared.task import Examples
from tests.client.test_session import fresh
from tests.client.toy import Toy, examples, start

STREAM = SeededRandomness(2).stream
HOLDING = EvaluationConfig(private_every=1, holdout=0.3)


class Scored(Toy):
    """Accuracy: whether the largest output is the target."""

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """One number for each example."""
        return {"accuracy": (outputs.argmax(1) == targets).float()}


class Unscored(Toy):
    """A task without an accuracy."""

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """None."""
        del outputs, targets
        return {}


def private(changes: dict[str, Scalar]) -> RunConfig:
    """A run on digits with both queries."""
    return RunConfig.from_run_config(
        {
            "task": "digits",
            "seed": 1,
            "population.size": 3,
            "population.examples_per_client": 0,
            "evaluation.private_every": 2,
            "statistics.private": True,
            "statistics.high": 16.0,
            "runtime.device": "cpu",
            **changes,
        }
    )


def test_a_row_holds_loss_accuracy_and_one() -> None:
    """As the task computes them, in evaluation mode."""
    data, task = examples(700), Scored()
    model = nn.Sequential(task.build_model(), nn.Dropout(0.9))
    load(model, start())
    rows = evaluation_rows(task, model, data, 5.0)
    with torch.no_grad():
        outputs = model(*data.inputs)
        expected = task.losses(outputs, data.targets).double() / 5.0
    assert rows.shape == (700, 3)
    assert rows[:, 0] == pytest.approx(expected.numpy())
    assert rows[:, 1].mean() == pytest.approx(
        float((outputs.argmax(1) == data.targets).double().mean())
    )
    assert (rows[:, 2] == 1).all()


def test_without_an_accuracy_its_place_is_zero() -> None:
    """And without examples there are no rows."""
    task = Unscored()
    assert (evaluation_rows(task, task.build_model(), examples(9), 5.0)[:, 1] == 0).all()
    assert evaluation_rows(task, task.build_model(), examples(0), 5.0).shape == (0, 3)


def test_held_out_records_are_not_trained_on_and_none_is_lost() -> None:
    """Together they are all; about as many as asked for."""
    data = examples(1000)
    kept, held = training_part(data, HOLDING), evaluation_part(data, HOLDING)
    assert len(kept) + len(held) == 1000
    assert 200 < len(held) < 400


def test_one_record_more_moves_no_other_from_training_to_evaluation() -> None:
    """A record's side depends on the record alone: the sensitivity of both stays one record."""
    data = examples(100)
    for part in (training_part, evaluation_part):
        full = part(data, HOLDING).inputs[0]
        less = part(data.select(torch.arange(1, 100)), HOLDING).inputs[0]
        assert len(full) - len(less) in {0, 1}
        assert torch.equal(full[len(full) - len(less) :], less)


def test_without_a_holdout_both_parts_are_everything() -> None:
    """And without private evaluation nothing is held out."""
    data = examples(20)
    assert evaluation_part(data, EvaluationConfig(private_every=1, holdout=0.0)) is data
    assert training_part(data, EvaluationConfig(private_every=0, holdout=0.5)) is data
    assert training_part(data, EvaluationConfig(private_every=1, holdout=0.0)) is data


def test_at_record_level_the_sum_leaves_with_noise_at_client_level_the_mean_without() -> None:
    """Who adds the noise follows the unit."""
    rows = np.full((50, 3), 0.5)
    plans = {
        unit: PrivacyPlan.from_config(private({"privacy.unit": unit}))
        for unit in ("record", "client")
    }
    query = plans["record"].evaluation
    assert query is not None
    told = answer(rows, plans["record"], query, STREAM("n"))
    noise = told.astype(np.float64) - 25.0
    assert 0 < np.abs(noise).max() < 6 * query.noise_stddev
    assert answer(rows, plans["client"], query, STREAM("n")).tolist() == [0.5, 0.5, 0.5]


def test_statistics_are_taken_over_the_public_range() -> None:
    """(scaled mean, scaled mean square, 1) of each example."""
    config = private({})
    rows = statistics_answer(Examples((torch.full((2, 64), 8.0),), torch.zeros(2)), config)
    assert rows.tolist() == [[0.5, 0.25, 1.0]] * 2


def asked(config: RunConfig, kind: str, round_number: int) -> QueryInstruction:
    """A question of this run."""
    plan = PrivacyPlan.from_config(config)
    return QueryInstruction(
        kind=kind,
        round_number=round_number,
        attempt=1,
        plan=plan.canonical(),
        plan_digest=plan.digest(),
        parameters=np.zeros(0, np.float32),
        normalisation=np.zeros(0, np.float32),
    )


NODE = Node({"partition-id": 0, "num-partitions": 3, "allow-seeded-runs": True})


def test_a_session_answers_what_the_plan_holds() -> None:
    """A bounded vector of the planned width."""
    config = private({})
    reply = fresh(config).query(NODE, asked(config, "statistics", 1))
    assert reply.sums.shape == (3,)
    assert np.isfinite(reply.sums).all()
    again = fresh(config).query(NODE, asked(config, "statistics", 1))
    assert reply.sums.tobytes() == again.sums.tobytes()


@pytest.mark.parametrize(("kind", "round_number"), [("evaluate", 3), ("gradients", 1)])
def test_a_question_that_the_plan_does_not_hold_is_refused(kind: str, round_number: int) -> None:
    """Not charged, so not answered: another kind, or a round between two."""
    config = private({})
    with pytest.raises(PrivacyError, match="question of the plan"):
        fresh(config).query(NODE, asked(config, kind, round_number))


def test_a_question_of_another_plan_is_refused() -> None:
    """Its noise would be another one than this node adds."""
    config, other = private({}), private({"evaluation.noise_multiplier": 9.0})
    with pytest.raises(PrivacyError, match="for the plan"):
        fresh(config).query(NODE, asked(other, "evaluate", 2))


def test_noise_differs_between_questions_rounds_and_attempts() -> None:
    """Equal noise in two answers could be subtracted."""
    streams = [
        STREAM(f"{kind}_noise", "site", number, attempt).gaussian(1)[0]
        for kind in ("evaluate", "statistics")
        for number in (1, 2)
        for attempt in (1, 2)
    ]
    assert len(set(streams)) == 8
    assert all(math.isfinite(number) for number in streams)
