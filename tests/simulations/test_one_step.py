"""Clients of one step in one pass, against the deployed trainer one after another."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from client.layer_parts import Kept, Outer
from client.trainer import LocalTraining
from client.turn import Turn
from client.update import leaving
from shared.config import RunConfig, Scalar
from shared.dp.clipping import Vector, clip
from shared.dp.mechanisms import ClientPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import SeededRandomness
from shared.messages import TrainInstruction
from shared.parameters import flatten
from shared.task import Examples, TaskSettings
from shared.tasks.digits import Digits
from simulations import one_step
from simulations.one_step import OneStep, takes_one_step
from simulations.reading import Client, Cohort, Rows
from simulations.stacked import Stacked

CLIP = 0.4
RAW: dict[str, Scalar] = {
    "privacy.unit": "client", "privacy.clipping_norm": CLIP, "training.batch_size": 16,
    "training.steps": 0, "training.epochs": 1, "training.learning_rate": 0.3,
    "runtime.device": "cpu",
}  # fmt: skip
WAYS: dict[str, dict[str, Scalar]] = {
    "clipped": {},
    "not clipped": {"privacy.unit": "none"},
    "one step of many records": {"training.steps": 1, "training.epochs": 0},
    "momentum and a pull": {"training.momentum": 0.5, "training.proximal_term": 0.2},
    "clip that binds nobody": {"privacy.clipping_norm": 100.0},
}
SIZES = {"alike": [7] * 5, "ragged": [7, 1, 16, 3, 2], "some have nothing": [0, 5, 0, 2]}


class Normed(Digits):
    """A model with a norm, and sequences in a sequence."""

    def build_model(self) -> nn.Module:
        """64-16-10."""
        first = nn.Sequential(nn.Flatten(), nn.Linear(64, 16, bias=False), nn.LayerNorm(16))
        return nn.Sequential(first, nn.GELU(), nn.Linear(16, 10))


TASKS = {"mlp": Digits(TaskSettings(model="mlp")), "normed": Normed(TaskSettings())}


def config_of(changes: Mapping[str, Scalar]) -> RunConfig:
    """A run's configuration."""
    return RunConfig.from_run_config({**RAW, **changes})


def clients_of(task: Digits, sizes: Sequence[int]) -> list[Client]:
    """Clients that hold so many of the task's images each."""
    images, first, found = task.evaluation_data(), 0, []
    for number, size in enumerate(sizes):
        name = f"site-{number:06d}"
        turn = Turn(randomness=SeededRandomness(5), client_id=name, round_number=1, attempt=1)
        found.append(Client(turn, images.select(torch.arange(first, first + size))))
        first += size
    return found


def one_by_one(config: RunConfig, task: Digits, start: np.ndarray, clients: list[Client]) -> Vector:
    """Σ of what the deployed trainer would send, clipped where the plan says so."""
    plan = PrivacyPlan.from_config(config)
    trainer = LocalTraining(config, task, plan, torch.device("cpu"))
    total = np.zeros(len(start))
    for client in clients:
        moved = trainer.moved(start, client.examples, client.turn).astype(np.float32)
        update = leaving(moved, plan.mechanism)
        clips = isinstance(plan.mechanism, ClientPrivacy)
        total += clip(update, plan.clipping_norm) if clips else update
    return total


def stacked_sum(
    config: RunConfig, task: Digits, start: np.ndarray, clients: Sequence[Client]
) -> tuple[Vector, Mapping[str, str]]:
    """What the engine's method adds, and whom it lost."""
    plan = PrivacyPlan.from_config(config)
    stack = Stacked(config, task, plan.mechanism)
    total = np.zeros(len(start))
    instruction = TrainInstruction(
        round_number=1, attempt=1, plan=plan.canonical(), plan_digest=plan.digest(),
        clipping_norm=plan.clipping_norm, parameters=start,
        normalisation=np.zeros(0, dtype=np.float32),
    )  # fmt: skip
    return total, stack.add(total, instruction, clients)


def start_of(task: Digits) -> np.ndarray:
    """Some parameters."""
    torch.manual_seed(3)
    return flatten(task.build_model())


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TASKS)
def test_the_sum_is_that_of_the_trainer(
    name: str, way: str, sizes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for rounding and the clip that is a hundred thousandth short; and no stack is made."""

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Stacked, "_moved", never)
    task, config = TASKS[name], config_of(WAYS[way])
    counts = [5 * size for size in SIZES[sizes]] if config.training.steps else SIZES[sizes]
    start, clients = start_of(task), clients_of(task, counts)
    expected = one_by_one(config, task, start, clients)
    found, lost = stacked_sum(config, task, start, clients)
    assert lost == {}
    assert np.abs(found - expected).max() <= 5e-5 * np.abs(expected).max()


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("unit", ["client", "none"])
def test_a_cohort_of_one_pool_gives_the_sum_of_its_clients(sizes: str, unit: str) -> None:
    """Bit for bit where it is one pass; whoever holds more than a batch is trained as before."""
    task, config = TASKS["mlp"], config_of({"privacy.unit": unit})
    start = start_of(task)
    for counts in (SIZES[sizes], [*SIZES[sizes], 40]):
        clients, ends = clients_of(task, counts), np.cumsum(counts)
        parts = [np.arange(end - count, end) for end, count in zip(ends, counts, strict=True)]
        pool = Rows(task.evaluation_data(), np.zeros(0, dtype=np.int64))
        turns = [client.turn for client in clients]
        cohort = Cohort(turns.__getitem__, range(len(counts)), parts, pool)
        expected, _ = stacked_sum(config, task, start, clients)
        found, lost = stacked_sum(config, task, start, cohort)
        assert lost == {}
        assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


def test_a_clip_that_cannot_bind_asks_for_no_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound below it is enough, and the sum is the same; one that binds asks."""
    task, start = TASKS["mlp"], start_of(TASKS["mlp"])
    clients = clients_of(task, SIZES["ragged"])
    expected, _ = stacked_sum(config_of({"privacy.clipping_norm": 99.0}), task, start, clients)

    def never(_: Outer) -> torch.Tensor:
        raise AssertionError

    monkeypatch.setattr(Outer, "norms_squared", never)
    found, _ = stacked_sum(config_of({"privacy.clipping_norm": 99.0}), task, start, clients)
    assert np.array_equal(found, expected)
    with pytest.raises(AssertionError):
        stacked_sum(config_of({}), task, start, clients)


def test_a_bound_that_did_not_help_is_looked_at_again_when_nobody_was_clipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A clip that binds, twice; then one that binds nobody, twice; the sums are as they were."""
    looked: list[bool] = []
    whole = OneStep._surely_below

    def seen(self: OneStep, *given: Any) -> bool:
        looked.append(whole(self, *given))
        return looked[-1]

    monkeypatch.setattr(OneStep, "_surely_below", seen)
    task, start = TASKS["mlp"], torch.from_numpy(start_of(TASKS["mlp"]).astype(np.float32))
    clients = clients_of(task, SIZES["ragged"])
    one = OneStep(config_of({}).training, task, task.build_model())
    sums, counts = [], []
    for norm in (0.1, 0.1, 99.0, 99.0):
        found = one.clipped_sum(start, clients, norm)
        assert found is not None
        sums.append(found)
        counts.append(len(looked))
    assert counts == [1, 1, 1, 2]
    assert looked == [False, True]
    for one_time, next_time in (sums[:2], sums[2:]):  # where memory lies decides the last bits
        assert torch.allclose(one_time, next_time, rtol=1e-6, atol=1e-7)
    assert float(sums[0].norm()) < 0.5 * float(sums[2].norm())


def test_a_planted_bound_below_the_norms_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients pass unclipped, and add more than the clip."""
    task, config = TASKS["mlp"], config_of({"privacy.clipping_norm": 0.1})
    for kind in (Outer, Kept):
        monkeypatch.setattr(kind, "bounds_squared", lambda self: 0.0 * self.norms_squared())
    found, _ = stacked_sum(config, task, start_of(task), clients_of(task, [7]))
    assert np.linalg.norm(found) > 0.11


def test_no_client_adds_more_than_the_clip() -> None:
    """Each alone, in double precision."""
    task, config = TASKS["mlp"], config_of({"privacy.clipping_norm": 0.1})
    start = start_of(task)
    for client in clients_of(task, [7, 16, 1]):
        found, _ = stacked_sum(config, task, start, [client])
        assert 0.0999 < np.linalg.norm(found) <= 0.1


@pytest.mark.parametrize(("records", "inputs"), [(1024, 7 * 64), (5, 1 << 22)])
def test_passes_are_as_small_as_they_have_to_be(
    records: int, inputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By records, and by the numbers in them; no pass is much larger, and the sum is the same."""
    task, config = TASKS["mlp"], config_of({})
    start, clients = start_of(task), clients_of(task, [7, 1, 0, 3, 2, 7, 7])
    expected, _ = stacked_sum(config, task, start, clients)
    passed: list[int] = []
    whole = OneStep.clipped_sum

    def seen(self: OneStep, start: torch.Tensor, some: list[Client], norm: float) -> object:
        passed.append(sum(map(len, some)))
        return whole(self, start, some, norm)

    monkeypatch.setattr(OneStep, "clipped_sum", seen)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(one_step, "_RECORDS", records)
    monkeypatch.setattr(one_step, "_INPUTS", inputs)
    found, _ = stacked_sum(config, task, start, clients)
    assert sum(passed) == 27
    assert max(passed) <= 2 * min(records, inputs // 64) + 7
    assert len(passed) > 1
    assert np.abs(found - expected).max() <= 1e-6 * np.abs(expected).max()


def test_one_pass_has_all_threads_and_leaves_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads that torch computes with are as they were, whatever happens in the pass."""
    seen: list[int] = []

    def broken(*_given: object) -> object:
        seen.append(torch.get_num_threads())
        raise ZeroDivisionError

    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(OneStep, "clipped_sum", broken)
    task, config = TASKS["mlp"], config_of({"runtime.torch_threads": 2})
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError):
        stacked_sum(config, task, start_of(task), clients_of(task, [7]))
    assert seen == [6]
    assert torch.get_num_threads() == before


def test_who_takes_one_step() -> None:
    """One by `steps`, or an epoch of one batch; whoever holds nothing takes none."""
    epoch, step = config_of({}).training, config_of(WAYS["one step of many records"]).training
    assert [takes_one_step(epoch, count) for count in (0, 1, 16, 17)] == [True, True, True, False]
    assert takes_one_step(step, 1000)
    more = config_of({"training.steps": 2, "training.epochs": 0}).training
    assert [takes_one_step(more, count) for count in (0, 1)] == [True, False]
    assert not takes_one_step(config_of({"training.epochs": 2}).training, 3)


@pytest.mark.parametrize("unit", ["client", "none"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
def test_a_record_without_a_number_is_as_it_is_one_by_one(bad: float, unit: str) -> None:
    """Its client counts as zero where there is a clip, is lost where there is none."""
    task, config = TASKS["mlp"], config_of({"privacy.unit": unit})
    start, clients = start_of(task), clients_of(task, [7, 3, 7])
    spoilt = clients[1].examples.inputs[0].clone()
    spoilt[0, 0, 0, 0] = bad
    spoilt[0, 0, 3, 3] = bad
    clients[1] = Client(clients[1].turn, Examples((spoilt,), clients[1].examples.targets))
    good = [clients[0], clients[2]]
    found, lost = stacked_sum(config, task, start, clients)
    if bad == 1e30:
        good, expected_lost = clients, set[str]()
    else:
        expected_lost = {"site-000001"} if unit == "none" else set()
    expected = one_by_one(config, task, start, good)
    assert set(lost) == expected_lost
    assert np.abs(found - expected).max() <= 5e-5 * np.abs(expected).max()


def test_models_it_is_not_for() -> None:
    """Another optimizer, layers used twice or in place, parameters of other layers."""
    training = config_of({}).training
    layer = nn.Linear(10, 10)
    assert OneStep.possible(training, nn.Sequential(nn.Flatten(), layer))
    for model in (
        nn.Sequential(layer, layer),
        nn.Sequential(layer, nn.ReLU(inplace=True)),
        nn.Sequential(nn.Linear(10, 10), nn.PReLU()),
        nn.Sequential(nn.Flatten()),
    ):
        assert not OneStep.possible(training, model)
    adam = config_of({"training.optimizer": "adam"}).training
    assert not OneStep.possible(adam, nn.Sequential(layer))


def test_a_planted_mean_over_too_many_records_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what fills a ragged client up is counted, the sum is another."""
    task, config = TASKS["mlp"], config_of({"privacy.unit": "none"})
    start, clients = start_of(task), clients_of(task, SIZES["ragged"])
    expected = one_by_one(config, task, start, clients)
    honest = one_step._grouping

    def planted(counts: Sequence[int], device: torch.device) -> object:
        grouped = honest(counts, device)
        return lambda tensor, **_: grouped(tensor, gradient=False)

    monkeypatch.setattr(one_step, "_grouping", planted)
    found, _ = stacked_sum(config, task, start, clients)
    assert np.abs(found - expected).max() > 1e-3 * np.abs(expected).max()
