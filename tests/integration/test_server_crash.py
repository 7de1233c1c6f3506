"""A server killed between the exchanges of secure aggregation: charged, resumed, told once."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from server.report.verify import verify
from shared.config import Scalar
from simulations.federation import simulate
from tests.integration.faults.deaths import in_child
from tests.integration.traced_run import SUMMED, UPLOADED, traced

KILLED_IN = 2
CONFIG: dict[str, Scalar] = {
    "task": "digits",
    "rounds": 3,
    "population.size": 5,
    "population.examples_per_client": 60,
    "training.batch_size": 20,
    "privacy.noise": "distributed",
    "privacy.noise_multiplier": 3.0,
    "privacy.epsilon_budget": 1e3,
    "privacy.delta": 1e-3,
    "evaluation.private_every": 1,
    "output.run_id": "run",
    "output.tensorboard": False,
}


def killed(config: dict[str, Scalar], trace: Path, moment: str) -> None:
    """The run in a process of its own, which ends by SIGKILL in round KILLED_IN."""
    assert in_child(lambda: traced(config, trace, KILLED_IN, moment)) == -signal.SIGKILL


def lines(path: Path) -> list[Any]:
    """Of JSON; none where there is no such file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def contexts(trace: list[Any]) -> set[str]:
    """For which somebody was asked to unmask."""
    return {line["context"] for line in trace}


def charged(folder: Path) -> list[tuple[str, int, int]]:
    """Kind, round and attempt of each charge of the server."""
    return [(c["kind"], c["round_number"], c["attempt"]) for c in lines(folder / "charges.jsonl")]


def charged_to_clients(folder: Path) -> list[tuple[int, str, int, int]]:
    """Client, kind, round and attempt of each charge in the clients' ledgers; costs left out."""
    found = lines(folder / "ledgers" / "charges.jsonl")
    return [tuple(line[:4]) for line in found if isinstance(line[1], str)]


def killed_and_resumed(folder: Path, config: dict[str, Scalar], moment: str) -> tuple[Path, Path]:
    """The finished run's folder and, one after the other, what both processes told of it."""
    config = config | {"output.dir": str(folder)}
    before, after = folder / "before.jsonl", folder / "after.jsonl"
    killed(config, before, moment)
    asked = {tuple(line["release"]) for line in lines(before)}
    # Whatever anybody was asked to unmask had been paid for.
    assert asked <= set(charged(folder / "run"))
    assert (("train", KILLED_IN, 1) in asked) == (moment == SUMMED)
    done = traced(config | {"output.resume": True}, after)
    return done, before


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("moment", [UPLOADED, SUMMED])
def test_a_round_that_the_server_died_in_is_another_attempt(tmp_path: Path, moment: str) -> None:
    """Charged twice by all, under keys and masks of its own; what was unmasked stays all there is.

    The released model cannot be that of a run which nobody killed: the second attempt has noise
    of its own.
    """
    run, before = killed_and_resumed(tmp_path, CONFIG, moment)
    rounds = [(number, attempt) for kind, number, attempt in charged(run) if kind == "train"]
    assert rounds == [(1, 1), (KILLED_IN, 1), (KILLED_IN, 2), (3, 1)]
    trace = [lines(before), lines(tmp_path / "after.jsonl")]
    assert not contexts(trace[0]) & contexts(trace[1])
    answered = [line for part in trace for line in part if line["answered"]]
    assert {tuple(line["release"]) for line in answered} <= set(charged(run))
    answers = [(line["context"], line["member"]) for line in answered]
    assert len(answers) == len(set(answers))
    everybody = sorted((client, *charge) for charge in charged(run) for client in range(5))
    assert sorted(charged_to_clients(run)) == everybody
    assert not verify(run)
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["status"], summary["rounds"]) == ("finished", 3)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("moment", [UPLOADED, SUMMED])
def test_a_seeded_run_goes_on_to_the_same_bytes(tmp_path: Path, moment: str) -> None:
    """The same attempt again, and so the same noise: one release, though under other masks."""
    config = CONFIG | {"seed": 5}
    whole = simulate(config | {"output.dir": str(tmp_path / "whole")})
    run, before = killed_and_resumed(tmp_path, config, moment)
    model = "model.safetensors"
    assert (run / model).read_bytes() == (whole / model).read_bytes()
    assert charged(run) == charged(whole)
    assert sorted(charged_to_clients(run)) == sorted(charged_to_clients(whole))
    assert not contexts(lines(before)) & contexts(lines(tmp_path / "after.jsonl"))
    assert not verify(run)
