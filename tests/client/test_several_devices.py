"""Two processes of one client train what one does: each record clipped once, noise added once."""

import os
import signal
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from client.device_processes import Answer, DeviceFailed, Message
from client.several_devices import SeveralDevices
from shared.config import Scalar
from shared.errors import ConfigurationError
from shared.parameters import dimension
from shared.vectors import FlatVector
from tests.client.device_tasks import KEYS, MODELS, SHARDED, TURN, devices, mechanism, several
from tests.client.toy import examples, start

# A batch of each size is drawn in four steps: larger than both devices take at once, odd, one
# record and none.
COUNTS = (23, 5, 1, 0)
SAME: dict[str, dict[str, Scalar]] = {
    "sgd": {},
    "momentum": {"training.momentum": 0.9},
    "adam": {"training.optimizer": "adam", "training.learning_rate": 0.05},
    "pull": {"training.proximal_term": 0.3},
    "scaffold": {"training.algorithm": "scaffold"},
    "compressed": {"training.compression": "quantised"},
    "local layers": {"training.local_layers": "0"},
}


@pytest.fixture(scope="module")
def whole() -> Iterator[SeveralDevices]:
    """Two processes, each with all of the model."""
    made = devices(KEYS)
    yield made
    made.processes.end()


@pytest.fixture(scope="module")
def sharded() -> Iterator[SeveralDevices]:
    """Two processes, each with a share of each layer."""
    made = devices(SHARDED)
    yield made
    made.processes.end()


def begin(keys: dict[str, Scalar]) -> FlatVector:
    """What a turn is told."""
    count = dimension(MODELS[str(keys.get("model", ""))]())
    local = 35 if "training.local_layers" in keys else 0
    told = start(count - local)
    return np.concatenate([told, 0.1 * told]) if "training.algorithm" in keys else told


def check(keys: dict[str, Scalar], shared_out: SeveralDevices, count: int) -> None:
    """Both come to the same but for rounding; noise moved everything, without records too."""
    found, alone = (
        several(keys, each).moved(begin(keys), examples(count), TURN) for each in (shared_out, None)
    )
    assert found.shape == alone.shape
    assert np.abs(found[:10]).min() > 0.0
    np.testing.assert_allclose(found, alone, atol=1e-6 * max(1.0, float(np.abs(alone).max())))


@pytest.mark.slow
@pytest.mark.parametrize("name", SAME)
def test_two_processes_come_to_where_one_does(whole: SeveralDevices, name: str) -> None:
    """Whatever the trainer makes of the noisy sum."""
    for count in COUNTS:
        check(KEYS | SAME[name], whole, count)


@pytest.mark.slow
def test_so_they_do_where_each_holds_a_share_of_the_model(sharded: SeveralDevices) -> None:
    """A device whose records are used up computes made-up ones, which count for nothing."""
    for count in COUNTS:
        check(SHARDED, sharded, count)
        check(SHARDED | SAME["adam"], sharded, count)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["whole", "sharded"])
def test_a_record_whose_gradient_is_not_finite_counts_as_zero(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """On whichever device it is: an error would tell that it is there."""
    keys = (KEYS if kind == "whole" else SHARDED) | {"training.sample_rate": 1.0}
    shared_out: SeveralDevices = request.getfixturevalue(kind)
    for spoiled in (1, 4):
        data = examples(9)
        data.inputs[0][spoiled] = float("inf")
        others = data.select(torch.tensor([row for row in range(9) if row != spoiled]))
        found = several(keys, shared_out).moved(begin(keys), data, TURN)
        without = several(keys, None).moved(begin(keys), others, TURN)
        np.testing.assert_allclose(found, without, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["whole", "sharded"])
def test_a_sum_whose_noise_many_share_is_that_of_one_process(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """One step, without noise yet."""
    keys = KEYS if kind == "whole" else SHARDED
    known = mechanism(keys)
    assert known is not None
    built = MODELS[str(keys.get("model", ""))]()
    found, alone = (
        several(keys, each)._one_summed_step(
            deepcopy(built), examples(23), TURN, replace(known, distributed=True)
        )
        for each in (request.getfixturevalue(kind), None)
    )
    assert found.dtype == np.float64
    assert np.abs(found).max() > 0.01
    np.testing.assert_allclose(found, alone, atol=1e-6)


@pytest.mark.slow
def test_a_process_that_dies_fails_the_turn_and_ends_the_others(whole: SeveralDevices) -> None:
    """No sum of some is used; the trainer is as it was before its first turn."""
    trainer = several(KEYS, whole)
    trainer.moved(begin(KEYS), examples(5), TURN)
    first, second = whole.processes.process_ids
    os.kill(second, signal.SIGKILL)
    with pytest.raises(DeviceFailed):
        trainer.moved(begin(KEYS), examples(5), TURN)
    assert whole.processes.process_ids == []
    for process in (first, second):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_a_model_that_cannot_be_held_in_shares_is_refused() -> None:
    """Before a process is started: layers that share a parameter, or that nobody knows."""
    for model, why in (("tied", "share no parameter"), ("twice", "got another")):
        keys = SHARDED | {"model": model}
        made = devices(keys)
        with pytest.raises(ConfigurationError, match=why):
            several(keys, made).moved(begin(keys), examples(5), TURN)
        assert made.processes.process_ids == []


def test_dropout_has_a_stream_for_each_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told once a turn; the same in a seeded run, another for each device and turn."""
    asked: list[list[int | None]] = []

    def ask(messages: Sequence[Message]) -> list[Answer]:
        asked.append([said.get("seed") for said, _ in messages])
        return [({}, [torch.zeros(53)]), ({}, [torch.zeros(0)])]

    made = devices(KEYS)
    monkeypatch.setattr(made.processes, "ask", ask)
    trainer = several(KEYS, made)
    for turn in (TURN, TURN, replace(TURN, round_number=2)):
        trainer.moved(begin(KEYS), examples(5), turn)
    seeds = asked[::4]
    assert seeds[0] == seeds[1]
    assert len({*seeds[0], *seeds[2]}) == 4
    assert asked[1:4] == [[None, None]] * 3
