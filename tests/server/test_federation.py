"""A round counts what is right, leaves out what is wrong, and never waits or divides by whim."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message, RecordDict
from safetensors.numpy import load_file

from server.coordinator import run
from server.evaluation import Evaluator, Measurement
from shared.config import Scalar
from shared.dp.randomness import RandomStream, SeededRandomness
from shared.errors import ConfigurationError, StateError, TooFewSurvivors
from shared.messages import TrainInstruction
from shared.parameters import FlatVector
from tests.server.fake_grid import (
    FIRST_NODE,
    Answer,
    FakeGrid,
    failed,
    honest,
    named,
    silent,
    updated,
    vector,
)
from tests.server.toy import config

# Plain averages, so that what was counted can be read off the model.
PLAIN: dict[str, Scalar] = {
    "privacy.unit": "none",
    "server.momentum": 0.0,
    "rounds": 1,
    "cohort.minimum_survivors": 0.0,
}


def play(
    folder: Path,
    changes: dict[str, Scalar],
    answer: Answer = honest,
    *,
    backwards: bool = False,
) -> FakeGrid:
    """A whole run; returns its grid."""
    grid = FakeGrid(3, answer, backwards=backwards)
    run(config(folder, changes), grid)
    return grid


def rounds(folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl of the run."""
    return [json.loads(line) for line in (folder / "toy/metrics.jsonl").read_text().splitlines()]


def asked_by_round(folder: Path) -> list[list[str]]:
    """Whom each charge of the run is of."""
    lines = (folder / "toy/charges.jsonl").read_text().splitlines()
    return [json.loads(line)["clients"] for line in lines]


def moved(folder: Path, grid: FakeGrid) -> list[float]:
    """Final minus initial parameters."""
    first = TrainInstruction.from_record(grid.trained[0].content).parameters
    tensors = load_file(folder / "toy/model.safetensors")
    return [float(tensors["weight"].item() - first[0]), float(tensors["bias"].item() - first[1])]


def instead(wrong: Callable[[Message], list[Message]]) -> Answer:
    """Clients 0 and 2 are honest, client 1 does what is given."""
    return lambda client, message: wrong(message) if client == 1 else honest(client, message)


def test_every_client_of_the_cohort_gets_the_round_attempt_plan_and_model(tmp_path: Path) -> None:
    """Round two carries what round one came to."""
    grid = play(tmp_path, PLAIN | {"rounds": 2})
    sent = [TrainInstruction.from_record(message.content) for message in grid.trained]
    assert [(s.round_number, s.attempt) for s in sent] == [(1, 1)] * 3 + [(2, 1)] * 3
    assert len({s.plan_digest for s in sent}) == 1
    step = sent[3].parameters - sent[0].parameters
    assert step.tolist() == pytest.approx([0.1, 0.1], abs=1e-6)


@pytest.mark.parametrize("backwards", [False, True])
def test_the_model_is_the_start_plus_the_mean_update(tmp_path: Path, backwards: bool) -> None:
    """(0.1, 0), (0.1, 0.1), (0.1, 0.2), in whatever order they come."""
    grid = play(tmp_path, PLAIN, backwards=backwards)
    assert moved(tmp_path, grid) == pytest.approx([0.1, 0.1], abs=1e-6)
    assert rounds(tmp_path)[0]["lost"] == 0


@pytest.mark.parametrize("unit", ["record", "client", "none"])
def test_the_order_of_replies_changes_no_bit_of_the_model(tmp_path: Path, unit: str) -> None:
    """A seeded run gives the same bytes over every transport."""
    changes: dict[str, Scalar] = {"privacy.unit": unit, "training.sample_rate": 1.0}
    for backwards in (False, True):
        play(tmp_path / str(backwards), changes, backwards=backwards)
    model = "toy/model.safetensors"
    assert (tmp_path / "True" / model).read_bytes() == (tmp_path / "False" / model).read_bytes()


WRONG: dict[str, Callable[[Message], list[Message]]] = {
    "an error reply": lambda m: [failed(m, "x" * 5000)],
    "no reply": lambda m: silent(1, m),
    "another round": lambda m: [updated(m, vector(9, 9), round_number=5)],
    "another attempt": lambda m: [updated(m, vector(9, 9), attempt=5)],
    "another plan": lambda m: [updated(m, vector(9, 9), digest="f" * 64)],
    "another shape": lambda m: [updated(m, vector(9, 9, 9))],
    "double precision": lambda m: [updated(m, vector(9, 9).astype(np.float64))],
    "NaN": lambda m: [updated(m, vector(np.nan, 9))],
    "infinity": lambda m: [updated(m, vector(np.inf, 9))],
    "no update at all": lambda m: [Message(RecordDict({}), reply_to=m)],
    "wrong, then right": lambda m: [failed(m), updated(m, vector(9, 9))],
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_lost_client_is_left_out_counted_and_logged_and_the_divisor_stays(
    tmp_path: Path, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The sum of the two others is still divided by three."""
    grid = play(tmp_path, PLAIN, instead(WRONG[wrong]))
    assert moved(tmp_path, grid) == pytest.approx([0.2 / 3, 0.2 / 3], abs=1e-6)
    [line] = rounds(tmp_path)
    assert (line["asked"], line["answered"], line["lost"]) == (3, 2, 1)
    assert json.loads((tmp_path / "toy/summary.json").read_text())["clients_lost"] == 1
    [warning] = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.startswith("round 1: site-1 is left out: ")
    assert len(warning) < 250
    assert warning in (tmp_path / "toy/log.txt").read_text()


def test_a_reply_that_comes_twice_counts_once(tmp_path: Path) -> None:
    """Also where the second says something else."""
    grid = play(tmp_path, PLAIN, instead(lambda m: [*honest(1, m), updated(m, vector(9, 9))]))
    assert moved(tmp_path, grid) == pytest.approx([0.1, 0.1], abs=1e-6)


def test_what_is_not_finite_is_a_zero_that_took_part_at_client_level(tmp_path: Path) -> None:
    """Nobody is lost, and the model stays finite."""
    changes: dict[str, Scalar] = PLAIN | {"privacy.unit": "client"}
    play(tmp_path / "nan", changes, instead(WRONG["NaN"]))
    play(tmp_path / "zero", changes, instead(lambda m: [updated(m, vector(0, 0))]))
    assert rounds(tmp_path / "nan")[0]["lost"] == 0
    models = [load_file(tmp_path / name / "toy/model.safetensors") for name in ("nan", "zero")]
    assert models[0] == models[1]


def test_an_exploding_client_moves_the_model_by_at_most_the_clip_over_the_divisor(
    tmp_path: Path,
) -> None:
    """Same seed, same noise: what is left of the difference is that client's, C/(qN) at most."""
    changes: dict[str, Scalar] = PLAIN | {"privacy.unit": "client", "privacy.clipping_norm": 0.5}
    positions = []
    for value in (0.0, 1e30):
        folder = tmp_path / str(value)
        grid = play(folder, changes, instead(lambda m, v=value: [updated(m, vector(v, v))]))  # type: ignore[misc]
        positions.append(np.array(moved(folder, grid)))
    assert np.linalg.norm(positions[1] - positions[0]) == pytest.approx(0.5 / 3, rel=1e-4)


def seed_of_an_empty_cohort() -> int:
    """A seed whose first cohort is empty at rate 0.3 of three."""
    from server.cohort import draw_cohort
    from tests.server.toy import plan

    sampled = plan({"cohort.sample_rate": 0.3})
    names = ("site-0", "site-1", "site-2")
    return next(
        seed
        for seed in range(100)
        if not draw_cohort(names, sampled, SeededRandomness(seed), round_number=1, attempt=1)
    )


def test_an_empty_cohort_is_a_step_of_noise_alone(tmp_path: Path) -> None:
    """Skipping it would tell that nobody was drawn; it is charged like any other round."""
    changes = PLAIN | {
        "privacy.unit": "client",
        "cohort.sample_rate": 0.3,
        "cohort.minimum_survivors": 1.0,
        "seed": seed_of_an_empty_cohort(),
    }
    grid = play(tmp_path, changes)
    assert grid.trained == []
    [line] = rounds(tmp_path)
    assert (line["asked"], line["lost"]) == (0, 0)
    assert line["epsilon"] > 0
    from server.preparation import prepare
    from shared.parameters import flatten
    from tests.server.toy import plan

    start = flatten(prepare(config(tmp_path, changes), plan(changes)).model)
    assert load_file(tmp_path / "toy/model.safetensors")["weight"].item() != start[0]


@pytest.mark.parametrize(("minimum", "enough"), [(0.5, False), (0.34, False), (0.33, True)])
def test_too_few_survivors_end_the_run_with_its_state(
    tmp_path: Path, minimum: float, enough: bool
) -> None:
    """At least ceil(fraction · asked) must answer: one of three is enough for 0.33 only."""

    def answer(client: int, message: Message) -> list[Message]:
        second = message.metadata.group_id == "2"
        return honest(client, message) if client == 0 or not second else [failed(message)]

    changes = PLAIN | {"rounds": 2, "cohort.minimum_survivors": minimum}
    if enough:
        play(tmp_path, changes, answer)
        return
    why = "round 2 needs 2 of 3 clients, got 1; left out: site-1, site-2: the app raised; a site's"
    with pytest.raises(TooFewSurvivors, match=why):
        play(tmp_path, changes, answer)
    assert [line["round"] for line in rounds(tmp_path)] == [1]
    assert (tmp_path / "toy/checkpoint.safetensors").exists()
    assert not (tmp_path / "toy/summary.json").exists()
    play(tmp_path, changes | {"output.resume": True})
    assert [line["round"] for line in rounds(tmp_path)] == [1, 2]


PARTLY: dict[str, Scalar] = PLAIN | {"rounds": 3, "cohort.present_at_start": 0.6}


def coming(numbers: Callable[[int], list[int]], answer: Answer = honest) -> FakeGrid:
    """Nodes of three clients, of a second site-1 and of one too many, online as `numbers` says."""
    names = {-1: "site-1", -2: "site-9"}
    grid = FakeGrid(
        3, answer, enrolment=lambda i, m: [named(names.get(i, f"site-{i}"), m)], at_once=9
    )
    grid.online = numbers
    return grid


def test_a_client_that_comes_between_two_rounds_is_asked_from_the_next_one_on(
    tmp_path: Path,
) -> None:
    """The divisor is the population's all the while; an impostor and a fourth are never asked."""
    grid = coming(lambda latest: [0, 1] if latest < 1 else [0, 1, 2, 3, 4])
    run(config(tmp_path, PARTLY), grid)
    assert [(line["asked"], line["lost"]) for line in rounds(tmp_path)] == [(2, 0), (3, 0), (3, 0)]
    # Clients 2 and 1 three times, client 0 twice: (0.1, 0.1 i) each, of three.
    assert moved(tmp_path, grid) == pytest.approx([0.8 / 3, 0.9 / 3], abs=1e-6)
    charged = asked_by_round(tmp_path)
    assert charged == [["site-1", "site-2"], *[["site-0", "site-1", "site-2"]] * 2]
    asked = {message.metadata.dst_node_id for message in grid.trained}
    assert asked == {FIRST_NODE, FIRST_NODE + 1, FIRST_NODE + 2}


def test_a_client_that_restarted_is_asked_at_its_new_node(tmp_path: Path) -> None:
    """With everybody there from the start, too."""

    def answer(client: int, message: Message) -> list[Message]:
        return honest(1 if client == -1 else client, message)

    grid = coming(lambda latest: [0, 1, 2] if latest < 2 else [0, 2, 3], answer)
    run(config(tmp_path, PLAIN | {"rounds": 3}), grid)
    assert [line["lost"] for line in rounds(tmp_path)] == [0, 0, 0]
    assert moved(tmp_path, grid) == pytest.approx([0.3, 0.3], abs=1e-6)


def test_a_run_that_goes_on_enrols_anew(tmp_path: Path) -> None:
    """Others may be there: as many as a run begins with are enough again."""

    def fails(client: int, message: Message) -> list[Message]:
        late = message.metadata.group_id == "2"
        return [failed(message)] if late else honest(client, message)

    strict: dict[str, Scalar] = PARTLY | {"cohort.minimum_survivors": 0.5}
    with pytest.raises(TooFewSurvivors):
        run(config(tmp_path, strict), coming(lambda _: [0, 1], fails))
    run(config(tmp_path, strict | {"output.resume": True}), coming(lambda _: [1, 2]))
    charged = asked_by_round(tmp_path)
    assert charged[-1] == ["site-0", "site-1"]
    assert [line["round"] for line in rounds(tmp_path)] == [1, 2, 3]


def test_a_model_is_measured_every_so_many_rounds_and_at_the_end(tmp_path: Path) -> None:
    """A round without measurement has neither loss nor accuracy."""
    play(tmp_path, PLAIN | {"rounds": 5, "runtime.evaluate_every": 2})
    measured = [line["round"] for line in rounds(tmp_path) if line["loss"] is not None]
    assert measured == [2, 4, 5]
    report = json.loads((tmp_path / "toy/report.json").read_text())
    assert [number for number, _ in report["utility"]["by_round"]] == [2, 4, 5]


def test_training_that_diverges_stops_before_it_is_kept(tmp_path: Path) -> None:
    """Twice the largest float32 is none."""
    huge = float(np.finfo(np.float32).max)
    with pytest.raises(ConfigurationError, match="diverges"):
        play(
            tmp_path,
            PLAIN | {"server.learning_rate": 2.0},
            lambda client, message: [updated(message, vector(huge, client))],
        )
    assert rounds(tmp_path) == []


def test_a_loss_beyond_numbers_does_not_end_the_run(tmp_path: Path) -> None:
    """Finite parameters whose squares overflow: the files stay strict JSON."""
    play(tmp_path, PLAIN, lambda client, message: [updated(message, vector(1e30, client))])
    assert rounds(tmp_path)[0]["loss"] == "inf"
    assert json.loads((tmp_path / "toy/summary.json").read_text())["loss"] is None


def test_every_draw_of_a_round_has_a_stream_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise that is used twice can be subtracted; both sides and transports agree on the labels."""
    asked: list[tuple[str | int, ...]] = []
    real = SeededRandomness.stream

    def stream(self: SeededRandomness, purpose: str, *labels: str | int) -> RandomStream:
        asked.append((purpose, *labels))
        return real(self, purpose, *labels)

    monkeypatch.setattr(SeededRandomness, "stream", stream)
    play(tmp_path, {})
    assert asked == [
        ("initial_parameters",),
        ("cohort", 1, 1), ("server_noise", 1, 1),
        ("cohort", 2, 1), ("server_noise", 2, 1),
    ]  # fmt: skip


ROWS: dict[str, Scalar] = {
    "seed": "os",
    "rounds": 3,
    "privacy.correlation": "banded",
    "privacy.bands": 2,
    "privacy.min_separation": 2,
}


def test_a_row_of_correlated_noise_is_on_disk_before_anything_of_it_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash after the step goes on with the next round: no row is drawn a second time."""
    original = Evaluator.measure
    seen: list[bytes] = []

    def crashing(self: Evaluator, parameters: FlatVector) -> Measurement:
        seen.append(parameters.tobytes())
        if len(seen) == 2:
            raise StateError("the disk is full")
        return original(self, parameters)

    monkeypatch.setattr(Evaluator, "measure", crashing)
    with pytest.raises(StateError, match="disk"):
        play(tmp_path, ROWS)
    grid = play(tmp_path, ROWS | {"output.resume": True})
    sent = [TrainInstruction.from_record(message.content) for message in grid.trained]
    assert {(asked.round_number, asked.attempt) for asked in sent} == {(3, 1)}
    assert {asked.parameters.tobytes() for asked in sent} == {seen[1]}
