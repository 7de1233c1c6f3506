"""Whole runs: false clients are named, struck and asked no more; a resumed run remembers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message

from server.coordinator import run
from server.report.verify import verify
from shared.config import Scalar
from shared.errors import TooFewSurvivors
from tests.server.fake_grid import Answer, FakeGrid, failed, updated, vector
from tests.server.toy import config

FALSE = (1, 4)
RUN: dict[str, Scalar] = {
    "privacy.unit": "none", "population.size": 9, "rounds": 5, "server.aggregation": "median",
    "server.byzantine": 2.0,
}  # fmt: skip


class Stopped(BaseException):
    """Whatever ends a process."""


def false(client: int, message: Message) -> list[Message]:
    """Two of nine send huge numbers; the honest ones differ a little."""
    value = 1e6 if client in FALSE else 0.1 + 0.001 * client
    return [updated(message, vector(value, value))]


def played(folder: Path, answer: Answer, changes: Mapping[str, Scalar] | None = None) -> FakeGrid:
    """A run, to its end."""
    wanted = RUN | dict(changes or {})
    grid = FakeGrid(int(wanted["population.size"]), answer, at_once=9)
    run(config(folder, wanted), grid)
    return grid


def metrics(folder: Path) -> list[dict[str, Any]]:
    """Its rounds."""
    text = (folder / "toy/metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def asked(grid: FakeGrid, number: int) -> int:
    """How many were asked in a round."""
    return sum(message.metadata.group_id == str(number) for message in grid.trained)


def test_false_clients_are_struck_and_asked_no_more(tmp_path: Path) -> None:
    """Three times rejected, then out; metrics and log say who; the model is the honest ones'."""
    grid = played(tmp_path, false)
    assert [asked(grid, number) for number in range(1, 6)] == [9, 9, 9, 7, 7]
    found = metrics(tmp_path)
    assert [line["rejected"] for line in found] == [2, 2, 2, 0, 0]
    out = ["site-1", "site-4"]
    assert [line["quarantined"] for line in found] == [[], [], out, out, out]
    assert "site-4 was rejected 3 times and is asked no more" in (
        tmp_path / "toy/log.txt"
    ).read_text(encoding="utf-8")
    loss = found[-1]["loss"]
    assert isinstance(loss, float)
    assert not verify(tmp_path / "toy")


def test_a_resumed_run_remembers_strikes(tmp_path: Path) -> None:
    """Killed after two rounds, it goes on to the same model, and to the same quarantine."""
    played(tmp_path / "straight", false)

    def killed(client: int, message: Message) -> list[Message]:
        if message.metadata.group_id == "3":
            raise Stopped
        return false(client, message)

    with pytest.raises(Stopped):
        played(tmp_path / "stopped", killed)
    grid = played(tmp_path / "stopped", false, {"output.resume": True})
    assert [asked(grid, number) for number in (3, 4)] == [9, 7]
    models = [
        (tmp_path / name / "toy/model.safetensors").read_bytes() for name in ("straight", "stopped")
    ]
    assert models[0] == models[1]
    assert metrics(tmp_path / "stopped")[-1]["quarantined"] == ["site-1", "site-4"]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_or_malformed_is_struck_too(tmp_path: Path, value: float) -> None:
    """But not a client that says it failed, nor one that is silent: they may be honest."""

    def answer(client: int, message: Message) -> list[Message]:
        if client == 0:
            return [failed(message)]
        if client == 1:
            return []
        if client == 2:
            return [updated(message, vector(value, 0.0))]
        if client == 3:
            return [updated(message, vector(0.1, 0.1, 0.1))]
        return [updated(message, vector(0.1, 0.1))]

    played(tmp_path, answer)
    assert metrics(tmp_path)[-1]["quarantined"] == ["site-2", "site-3"]


def test_a_bound_on_the_norm_refuses_and_strikes_with_the_plain_mean(tmp_path: Path) -> None:
    """The rest is summed and divided as ever."""
    changes: dict[str, Scalar] = {"server.aggregation": "mean", "server.norm_bound": 10.0}
    grid = played(tmp_path, false, changes)
    assert [asked(grid, number) for number in (3, 4)] == [9, 7]
    assert [line["answered"] for line in metrics(tmp_path)] == [7] * 5


def test_without_a_rule_nobody_is_struck(tmp_path: Path) -> None:
    """The plain mean follows whoever sends the largest numbers, and is asked to."""
    grid = played(tmp_path, false, {"server.aggregation": "mean", "rounds": 4})
    assert asked(grid, 4) == 9
    assert metrics(tmp_path)[-1]["quarantined"] == []


def test_at_client_level_nobody_is_struck_whatever_is_sent(tmp_path: Path) -> None:
    """Who is asked is a secret draw that nothing else may change."""

    def answer(client: int, message: Message) -> list[Message]:
        value = np.nan if client in FALSE else 0.1
        return [updated(message, vector(value, value, 0.1) if client == 1 else vector(value, 0.1))]

    grid = played(tmp_path, answer, {"privacy.unit": "client", "server.aggregation": "mean"})
    assert asked(grid, 5) == 9


def test_a_round_of_too_few_answers_is_void(tmp_path: Path) -> None:
    """Median of two false ones among nine: five answers are enough, four are not."""

    def answer(client: int, message: Message) -> list[Message]:
        return false(client, message) if client < 4 else []

    with pytest.raises(TooFewSurvivors, match="median needs 5 updates where 2 of 9"):
        played(tmp_path, answer, {"cohort.minimum_survivors": 0.1})


def test_those_in_quarantine_are_not_asked_for_their_scores(tmp_path: Path) -> None:
    """Nor charged for them: their answers would be summed as they are."""
    grid = played(
        tmp_path,
        false,
        {"privacy.unit": "record", "evaluation.private_every": 4, "privacy.epsilon_budget": 1e6,
         "training.sample_rate": 1.0, "rounds": 4},
    )  # fmt: skip
    assert len(grid.asked) == 7
    charges = [
        json.loads(line) for line in (tmp_path / "toy/charges.jsonl").read_text().splitlines()
    ]
    assert [len(charge["clients"]) for charge in charges] == [9, 9, 9, 7, 7]
    report = json.loads((tmp_path / "toy/report.json").read_text())
    (rule,) = [entry for entry in report["assumptions"] if entry["id"] == "aggregation_rule"]
    assert "(median) sees them after their noise alone" in rule["text"]
    assert report["mechanisms"][0]["denominator"] == "actual_count"
    assert not verify(tmp_path / "toy")


def test_a_report_that_names_another_rule_is_found(tmp_path: Path) -> None:
    """By its text, though its digest is renewed; and if the rule is left out."""
    played(tmp_path, false, {"privacy.unit": "record", "privacy.epsilon_budget": 1e6,
                             "training.sample_rate": 1.0, "rounds": 4})  # fmt: skip
    path = tmp_path / "toy/report.json"
    honest = json.loads(path.read_text())
    told = json.dumps(honest).replace("(median)", "(krum)")
    path.write_text(told)
    assert any("aggregation" in f.path or "assumptions" in f.path for f in verify(tmp_path / "toy"))
    kept = [a for a in honest["assumptions"] if a["id"] != "aggregation_rule"]
    path.write_text(json.dumps(honest | {"assumptions": kept}))
    assert any(f.path.startswith("assumptions") for f in verify(tmp_path / "toy"))


def test_a_refused_update_cannot_make_a_round_void(tmp_path: Path) -> None:
    """Bulyan of eleven for two: two who send NaN are the two, and nine are enough for none."""

    def answer(client: int, message: Message) -> list[Message]:
        return [updated(message, vector(np.nan if client in FALSE else 0.1, 0.1))]

    changes: dict[str, Scalar] = {"server.aggregation": "bulyan", "population.size": 11}
    played(tmp_path, answer, changes)
    assert [line["answered"] for line in metrics(tmp_path)] == [9] * 5
