"""`murmura simulate --profile`: a table, a page and a trace of where the time went."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from murmura.cli import app
from murmura.profile import FIGURES, PAGE, TRACE, figures, typical_round
from shared.spans import NAMES, Event, Recorder

COMMAND = [
    "simulate", "--task", "digits", "--rounds", "3", "--seed", "1", "--profile", "--run-id", "one",
    "-c", "population.size=3", "-c", "population.examples_per_client=40", "-c",
    "training.batch_size=10", "-c", "output.tensorboard=false", "-c", "privacy.epsilon_budget=1e4",
]  # fmt: skip


@pytest.mark.slow
def test_a_run_says_where_its_time_went(tmp_path: Path) -> None:
    """Every part of a round of DP-SGD is named; on one thread the parts are the whole."""
    found = CliRunner().invoke(app, [*COMMAND, "--out", str(tmp_path), "--engine", "messages"])
    assert found.exit_code == 0, found.output
    assert "where" in found.output
    content = json.loads((tmp_path / "one" / FIGURES).read_text())
    spent = {row["name"]: row for row in content["spent"]}
    for name in ("data", "forward", "backward", "clip", "noise", "step", "disk", "messages"):
        assert spent[name]["seconds"] > 0, name
    assert spent["round"]["spans"] == 3
    assert sum(row["seconds"] for row in content["spent"]) == pytest.approx(
        content["seconds"], rel=0.05
    )
    events = json.loads((tmp_path / "one" / TRACE).read_text())["traceEvents"]
    assert {event["ph"] for event in events} == {"X"}
    assert {event["name"] for event in events} == set(spent)
    assert "plotly" in (tmp_path / "one" / PAGE).read_text()


def test_rows_are_by_what_they_cost() -> None:
    """With shares of the clock's time, and of each round."""
    recorder = Recorder()
    recorder.seconds = {"noise": 1.0, "forward": 3.0}
    recorder.calls = {"noise": 4, "forward": 2, "round": 2}
    rows = figures(recorder, 8.0)
    assert [(row["name"], row["share"], row["per_round"]) for row in rows] == [
        ("forward", 0.375, 1.5), ("noise", 0.125, 0.5),
    ]  # fmt: skip
    assert all(row["what"] in NAMES.values() for row in rows)


def test_the_page_shows_the_round_of_median_length() -> None:
    """And what lies inside it; nothing where there was no round."""
    rounds = [Event("round", 10.0 * n, length, 0) for n, length in enumerate((5.0, 1.0, 3.0))]
    inside = [Event("noise", 10.0 * n + 0.5, 0.1, 1) for n in range(3)]
    assert typical_round([*rounds, *inside]) == [rounds[2], inside[2]]
    assert typical_round(inside) == []
