"""The rounds that the benchmark of secure aggregation compares."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.aggregation_peers import STEP, Cost, Outcome, Round, flower, murmura

ROOT = Path(__file__).parents[1]
Side = Callable[[Round, Cost], Outcome]


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("side", [flower, murmura])
def test_the_mean_is_that_of_the_vectors_that_arrived(side: Side, lost: int) -> None:
    """Within its rounding, and not that of others, nor with a lost one counted."""
    task = Round.of(4, 100, lost)
    outcome = side(task, Cost())
    assert np.abs(outcome.mean - task.mean).max() <= outcome.tolerance
    assert outcome.tolerance < 1e-5
    other = Round.of(4, 100, 1 - lost)
    assert np.abs(outcome.mean - other.mean).max() > 1000 * outcome.tolerance


def test_flower_rounds_as_finely_as_it_can() -> None:
    """A vector has all the levels there are, not a thousandth of them."""
    task = Round.of(4, 100, 0)
    assert np.abs(flower(task, Cost()).mean - task.mean).max() < STEP


def test_both_sides_have_the_same_vectors_and_losses() -> None:
    """A round is made from its figures alone."""
    one, other = Round.of(5, 20, 2), Round.of(5, 20, 2)
    assert one.lost == other.lost
    assert len(one.lost) == 2
    assert np.array_equal(one.vectors, other.vectors)


@pytest.mark.parametrize(("count", "shares"), [(4, 4), (20, 20), (50, 23)])
def test_a_client_of_either_side_masks_with_as_many_others(count: int, shares: int) -> None:
    """One of Flower's shares stays with its owner; an even number of them is everybody's."""
    assert Round.of(count, 1, 0).parameters.degree + 1 == shares
    assert shares % 2 or shares == count


@pytest.mark.parametrize("side", [flower, murmura])
def test_a_client_sends_what_is_counted(side: Side) -> None:
    """At least its masked vector, of 8 bytes a number with Flower and 4 with us; lost ones less."""
    cost = Cost()
    side(Round.of(4, 1024, 0), cost)
    each = (8 if side is flower else 4) * 1024
    assert sorted(cost.sent) == [0, 1, 2, 3]
    assert all(each < size < each + 4000 for size in cost.sent.values())


def test_a_part_within_a_part_is_counted_once() -> None:
    """So that parts add up to the whole."""
    cost, start = Cost(), time.process_time()
    with cost.part("outer"):
        cost.timed("inner", lambda: sum(range(300_000)))()
    whole = time.process_time() - start
    assert cost.seconds["inner"] > 0
    assert cost.seconds["outer"] >= 0
    assert cost.seconds["outer"] + cost.seconds["inner"] <= whole + 1e-9


@pytest.mark.slow
@pytest.mark.integration
def test_the_benchmark_writes_what_it_prints(tmp_path: Path) -> None:
    """One JSON with medians, versions, machine and ratios of both sides."""
    out = tmp_path / "peers.json"
    script = str(ROOT / "benchmarks" / "secure_aggregation_peers.py")
    sizes = ["--dimension", "200", "--clients", "4", "--lost", "0.1", "--repeats", "1"]
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, script, *sizes, "--out", str(out)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(out.read_text())
    assert json.loads(done.stdout) == report
    assert set(report["versions"]) == {"python", "flwr", "cryptography", "numpy"}
    assert set(report["machine"]) == {"cpu", "cores", "system"}
    [case] = report["cases"]
    assert (case["clients"], case["lost"]) == (4, 1)
    for name, ratio in case["ratios"].items():
        ours, theirs = case["murmura"][name], case["flower"][name]
        assert ours["min"] == ours["median"] == ours["max"]
        assert ratio == pytest.approx(theirs["median"] / ours["median"], abs=1e-3)
    assert case["murmura"]["right"]
    assert case["flower"]["right"]
