"""The server asks what the plan holds, charges first, and noises what clients send in clear."""

import json
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message, RecordDict
from safetensors import safe_open

from server.coordinator import run
from shared.config import Scalar
from shared.dp.claims import planned_claims
from shared.dp.plan import PrivacyPlan
from shared.errors import BudgetExhausted
from shared.query_messages import QueryInstruction, QueryReply
from tests.server.fake_grid import FakeGrid, failed, honest, vector
from tests.server.toy import config

ASKING: dict[str, Scalar] = {
    "rounds": 2,
    "evaluation.private_every": 1,
    "evaluation.loss_bound": 4.0,
    "statistics.private": True,
    "statistics.low": -2.0,
    "statistics.high": 2.0,
}
EXACT: dict[str, Scalar] = {
    "evaluation.noise_multiplier": 1e-9,
    "statistics.noise_multiplier": 1e-9,
    "privacy.epsilon_budget": 1e30,
}
NOISY: dict[str, Scalar] = {
    "evaluation.noise_multiplier": 5.0,
    "statistics.noise_multiplier": 5.0,
}


def told(client: int, message: Message) -> list[Message]:
    """Client i has loss i/4 of the bound and accuracy 1/2; inputs of mean 0 and deviation 1."""
    asked = QueryInstruction.from_record(message.content)
    sums = [client / 4, 0.5, 1.0] if asked.kind == "evaluate" else [0.5, 0.3125, 1.0]
    return [answered(message, sums)]


def answered(message: Message, sums: list[float], *, kind: str | None = None) -> Message:
    """An answer with these numbers."""
    asked = QueryInstruction.from_record(message.content)
    reply = QueryReply(
        kind=kind or asked.kind,
        round_number=asked.round_number,
        attempt=asked.attempt,
        plan_digest=asked.plan_digest,
        sums=vector(*sums),
    )
    return Message(reply.to_record(), reply_to=message)


def play(folder: Path, changes: dict[str, Scalar] | None = None, **how: object) -> FakeGrid:
    """A whole run over three clients that answer questions."""
    grid = FakeGrid(3, honest, **({"told": told} | how))  # type: ignore[arg-type]
    run(config(folder, ASKING | EXACT | (changes or {})), grid)
    return grid


def lines(folder: Path, name: str) -> list[dict[str, object]]:
    """A file of the run, line by line."""
    return [json.loads(line) for line in (folder / "toy" / name).read_text().splitlines()]


@pytest.mark.no_cover
@pytest.mark.parametrize("unit", ["client", "record"])
def test_scores_are_means_over_what_was_told(tmp_path: Path, unit: str) -> None:
    """At client level over clients, at record level over the noisy count of records."""
    play(tmp_path, {"privacy.unit": unit})
    for line in lines(tmp_path, "metrics.jsonl"):
        assert line["private_accuracy"] == pytest.approx(0.5, abs=1e-5)
        assert line["private_loss"] == pytest.approx((0 + 0.25 + 0.5) / 3 * 4.0, abs=1e-4)


def test_statistics_reach_the_clients_the_checkpoint_and_the_model(tmp_path: Path) -> None:
    """Mean 0, deviation 1: (0.5, 0.3125) of the range [-2, 2]."""
    grid = play(tmp_path)
    asked = QueryInstruction.from_record(grid.asked[-1].content)
    assert asked.normalisation.tolist() == pytest.approx([0.0, 1.0], abs=1e-5)
    with safe_open(tmp_path / "toy/model.safetensors", "numpy") as model:
        kept = json.loads(model.metadata()["normalisation"])
    assert kept["mean"] == pytest.approx([0.0], abs=1e-5)
    assert kept["stddev"] == pytest.approx([1.0], abs=1e-5)


def test_each_question_is_charged_before_it_is_asked(tmp_path: Path) -> None:
    """By its kind, round and attempt; the claims of the report are of all of them."""
    affordable: dict[str, Scalar] = {"privacy.epsilon_budget": 1000.0}
    play(tmp_path, NOISY | affordable)
    charged = [(line["kind"], line["round_number"]) for line in lines(tmp_path, "charges.jsonl")]
    assert charged == [
        ("statistics", 1),
        ("train", 1),
        ("evaluate", 1),
        ("train", 2),
        ("evaluate", 2),
    ]
    report = json.loads((tmp_path / "toy/report.json").read_text())
    plan = PrivacyPlan.from_config(config(tmp_path, ASKING | NOISY))
    planned = planned_claims(plan)[-1]
    assert report["claims"][-1]["epsilon"] == planned.epsilon
    silent_plan = PrivacyPlan.from_config(config(tmp_path, {"rounds": 2}))
    assert planned.epsilon > planned_claims(silent_plan)[-1].epsilon


def test_a_plan_whose_questions_overspend_is_refused(tmp_path: Path) -> None:
    """Before anything is asked."""
    with pytest.raises(BudgetExhausted):
        play(tmp_path, {"privacy.epsilon_budget": 10.0})


def test_the_server_noises_what_clients_send_in_clear(tmp_path: Path) -> None:
    """At client level: with noise of 100 sensitivities the scores are far from the truth."""
    play(tmp_path, {"evaluation.noise_multiplier": 100.0})
    scores = [line["private_accuracy"] for line in lines(tmp_path, "metrics.jsonl")]
    assert all(abs(float(str(score)) - 0.5) > 0.1 for score in scores)


def wrong_answers(client: int, message: Message) -> list[Message]:
    """Client 0 fails, client 1 sends one of several wrong things, client 2 is honest."""
    asked = QueryInstruction.from_record(message.content)
    wrong = {
        ("statistics", 1): Message(RecordDict(), reply_to=message),
        ("evaluate", 1): answered(message, [1.0, 1.0]),
        ("evaluate", 2): answered(message, [np.nan, 1.0, 1.0]),
        ("evaluate", 3): answered(message, [1.0, 1.0, 1.0], kind="statistics"),
    }
    if client == 0:
        return [failed(message)]
    return [wrong[asked.kind, asked.round_number]] if client == 1 else told(client, message)


def test_a_wrong_answer_is_left_out(tmp_path: Path) -> None:
    """As a lost client: of the other length, not finite, to another question, no message."""
    play(tmp_path, {"rounds": 3, "privacy.unit": "record"}, told=wrong_answers)
    for line in lines(tmp_path, "metrics.jsonl"):
        assert line["private_loss"] == pytest.approx(0.5 * 4.0, abs=1e-4)


def test_the_denominator_is_public_at_client_level(tmp_path: Path) -> None:
    """Who does not answer counts as zero: the number of answers would tell of a client."""
    play(tmp_path, {"rounds": 3}, told=wrong_answers)
    for line in lines(tmp_path, "metrics.jsonl"):
        assert line["private_accuracy"] == pytest.approx(0.5 / 3, abs=1e-4)
