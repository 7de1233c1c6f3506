"""A server killed at any point of a run: resumed to the same model, and nothing unaccounted.

Each case is a real process that ends by SIGKILL. What had left the clients by then is written down
as it leaves, and compared with what the ledgers on disk say.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from server.report.verify import verify
from server.run_folder import RunFolder
from shared.config import Scalar
from simulations.federation import simulate
from tests.integration.faults.deaths import (
    SEEDS,
    Points,
    after,
    before,
    dies,
    finishes,
    nth,
    torn_append,
    wrap,
)

MODEL = "model.safetensors"
KILLED_IN = 2
CONFIG: dict[str, Scalar] = {
    "task": "digits",
    "rounds": 3,
    "population.size": 3,
    "population.examples_per_client": 60,
    "training.batch_size": 20,
    "privacy.noise": "distributed",
    "privacy.noise_multiplier": 3.0,
    "privacy.epsilon_budget": 1e3,
    "privacy.delta": 1e-3,
    "evaluation.private_every": 1,
    "audit.canaries": 0,
    "server.optimizer": "adam",
    "server.learning_rate": 0.1,
    "output.run_id": "run",
    "output.tensorboard": False,
}


def in_round(position: int) -> Any:
    """That argument is the round to die in, or is of it."""

    def holds(*given: Any, **_named: Any) -> bool:
        found = given[position]
        return bool(getattr(found, "round_number", found) == KILLED_IN)

    return holds


def writes(name: str) -> Any:
    """The first argument after the folder is this file."""
    return lambda _folder, file, *_given, **_named: file == name


def sends(kind: str) -> Any:
    """Messages of a kind are pushed."""
    return lambda _grid, messages: messages and messages[0].metadata.message_type == kind


FOLDER, FEDERATION = "server.run_folder:RunFolder", "server.federation:Federation"
POINTS: Points = {
    "folder made": after(f"{FOLDER}.create"),
    "described": after(f"{FOLDER}.write_json", writes("config.json")),
    "before the round's charge": before("server.budget:Budget.charge", in_round(1)),
    "charge half written": torn_append(
        f"{FOLDER}.append_line", "charges.jsonl",
        lambda _folder, _name, charge, **_named: charge["round_number"] == KILLED_IN,
    ),
    "charged": after("server.budget:Budget.charge", in_round(1)),
    "queries sent": after("server.exchange:push", nth(KILLED_IN, sends("train"))),
    "first upload here": after("server.unmasking:Collecting.add", nth(4)),
    "all uploads here": after("server.unmasking:Collecting.close", nth(3)),
    "asked to unmask": after("server.exchange:push", nth(3, sends("query.unmask"))),
    "first unmasked": after("server.unmasking:Unmasking.add", nth(7)),
    "summed": after("server.unmasking:Unmasking.finish", nth(3)),
    "noised": after("server.federation:Federation._step", in_round(2)),
    "scores asked": after("server.exchange:push", nth(KILLED_IN, sends("evaluate"))),
    "recorded": after("server.recording:Recorder.record", in_round(1)),
    "checkpoint half written": before("os:fsync", nth(1, lambda *_given: bool(_IN_SAVE))),
    "checkpoint written": after("server.federation:save", in_round(1)),
    "before the model": before("server.federation:write_results"),
    "model written": after("server.federation:write_results"),
    "report written": after(f"{FOLDER}.write_json", writes("report.json")),
    "before the summary": before(f"{FOLDER}.write_json", writes("summary.json")),
}  # fmt: skip
_IN_SAVE: list[bool] = []


def killed(config: dict[str, Scalar], trace: Path, point: str) -> None:
    """The run, which ends by SIGKILL; what left a client before is in `trace`."""

    def install() -> None:
        watch(trace)
        # As deployed: a simulation does not wait for the disk.
        always = property(lambda _: True, lambda _folder, _value: None)
        RunFolder.synced = always  # type: ignore[assignment]
        if point == "checkpoint half written":
            note_saves()
        POINTS[point]()

    dies(lambda: simulate(config), install)


def note_saves() -> None:
    """Know that a checkpoint of the round to die in is being written."""

    def noting(inner: Any) -> Any:
        def save(folder: Any, checkpoint: Any) -> None:
            _IN_SAVE.extend([True] * (checkpoint.round_number == KILLED_IN))
            inner(folder, checkpoint)

        return save

    wrap("server.federation:save", noting)


def watch(trace: Path) -> None:
    """Write down each answer that leaves a client: who, what, which round."""

    def noting(inner: Any) -> Any:
        def run(grid: Any, index: int, message: Any) -> Any:
            reply = inner(grid, index, message)
            kind = message.metadata.message_type
            if not reply.has_error() and kind in {"train", "evaluate"}:
                line = [index, kind, int(message.metadata.group_id or 0)]
                with trace.open("a") as file:
                    file.write(json.dumps(line) + "\n")
            return reply

        return run

    wrap("simulations.grid:InProcessGrid._run_client", noting)


def lines(path: Path) -> list[Any]:
    """Of JSON; a last one that was cut short is left out."""
    content = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in content.splitlines() if line.endswith(("]", "}"))]


def charged_to_clients(run: Path) -> list[tuple[Any, ...]]:
    """Client, kind, round and attempt of each charge in their ledgers."""
    found = lines(run / "ledgers" / "charges.jsonl")
    return sorted(tuple(line[:4]) for line in found if isinstance(line[1], str))


def charged(run: Path) -> list[tuple[Any, ...]]:
    """Kind, round and attempt of each charge of the server."""
    return [(c["kind"], c["round_number"], c["attempt"]) for c in lines(run / "charges.jsonl")]


def check_nothing_unseen(run: Path, trace: Path) -> None:
    """Whatever had left a client when the server died is in its ledger and in the server's."""
    left = {tuple(line) for line in lines(trace)}
    clients = {(client, kind, number) for client, kind, number, _ in charged_to_clients(run)}
    assert left <= clients
    assert {(kind, number) for _, kind, number in left} <= {
        (kind, number) for kind, number, _ in charged(run)
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[Scalar, Path]:
    """Runs in which nobody dies, one for each seed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return {
        seed: simulate(CONFIG | {"seed": seed, "output.dir": str(folder / str(seed))})
        for seed in SEEDS
    }


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("point", POINTS)
def test_a_server_may_die_at_any_point(
    tmp_path: Path, undisturbed: dict[Scalar, Path], point: str, seed: Scalar
) -> None:
    """The same bytes, each release charged once to everybody, and a report that holds."""
    config = CONFIG | {"seed": seed, "output.dir": str(tmp_path)}
    run, whole = tmp_path / "run", undisturbed[seed]
    killed(config, tmp_path / "trace", point)
    check_nothing_unseen(run, tmp_path / "trace")
    finishes(lambda: simulate(config | {"output.resume": True}))
    assert (run / MODEL).read_bytes() == (whole / MODEL).read_bytes()
    assert charged(run) == charged(whole)
    assert charged_to_clients(run) == charged_to_clients(whole)
    assert not verify(run)
    assert not list(run.glob(".*.partial"))
