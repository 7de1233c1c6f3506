"""Two steps of every optimizer by hand, and what a checkpoint must keep of it."""

from pathlib import Path

import numpy as np
import pytest

from server.at_rest import AtRest, laid_down, room, whole
from server.optimizer import ServerOptimizer, Vector
from shared.config import Scalar
from shared.config_sections import ServerConfig
from shared.errors import ConfigurationError, StateError
from shared.parameters import FlatVector
from tests.server.fake_grid import vector
from tests.server.toy import config

START = vector(1.0, -1.0)
FIRST = np.array([0.5, -0.25])
SECOND = np.array([0.25, 0.5])


def server(**changes: Scalar) -> ServerConfig:
    """The server's part of a configuration."""
    return config(Path(), {f"server.{key}": value for key, value in changes.items()}).server


def stepped(
    optimizer: ServerOptimizer, parameters: FlatVector | AtRest, update: Vector
) -> FlatVector:
    """The next parameters, in memory."""
    moved: FlatVector = np.empty(len(parameters), dtype=np.float32)
    optimizer.step(parameters, update.copy(), moved)
    return moved


def two_steps(constants: ServerConfig) -> list[float]:
    """Parameters after both updates."""
    optimizer = ServerOptimizer(constants, 2)
    after = stepped(optimizer, stepped(optimizer, START, FIRST), SECOND)
    return [float(value) for value in after]


def test_fedavg_adds_the_mean_update() -> None:
    """SGD with learning rate 1 and no momentum (McMahan et al. 2017)."""
    assert two_steps(server(momentum=0.0)) == [1.75, -0.75]


def test_momentum_accumulates() -> None:
    """m = 0.5, then 0.5·0.5 + 0.25 = 0.5: x = 1 + 2·0.5 + 2·0.5."""
    assert two_steps(server(momentum=0.5, learning_rate=2.0)) == [3.0, -1.0 - 0.5 + 0.75]


# First coordinate, β₁ = β₂ = 1/2, τ = 1/10, η = 1, v₀ = τ² = 0.01:
# m: 0.25, then 0.125 + 0.125 = 0.25 for both updates.
BY_HAND = {
    # v: 0.005 + 0.125 = 0.13, then 0.065 + 0.03125 = 0.09625
    "adam": 1.0 + 0.25 / (0.13**0.5 + 0.1) + 0.25 / (0.09625**0.5 + 0.1),
    # v: 0.01 + 0.125 = 0.135 (0.01 < 0.25), then 0.135 - 0.03125 = 0.10375 (0.135 > 0.0625)
    "yogi": 1.0 + 0.25 / (0.135**0.5 + 0.1) + 0.25 / (0.10375**0.5 + 0.1),
    # v: 0.01 + 0.25 = 0.26, then 0.26 + 0.0625 = 0.3225
    "adagrad": 1.0 + 0.25 / (0.26**0.5 + 0.1) + 0.25 / (0.3225**0.5 + 0.1),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_two_adaptive_steps_are_those_done_by_hand(name: str) -> None:
    """Reddi et al. 2021, Algorithm 2, without bias correction."""
    constants = server(optimizer=name, beta1=0.5, beta2=0.5, tau=0.1)
    assert two_steps(constants)[0] == pytest.approx(BY_HAND[name], rel=1e-6)


@pytest.mark.parametrize("name", ["sgd", *BY_HAND])
def test_a_restored_optimizer_goes_on_as_if_nothing_had_happened(name: str) -> None:
    """Bit for bit: what it remembers is double precision."""
    constants = server(optimizer=name)
    straight = ServerOptimizer(constants, 2)
    middle = stepped(straight, START, FIRST)
    resumed = ServerOptimizer(constants, 2)
    resumed.restore({key: value[:].copy() for key, value in straight.state().items()})
    assert all(value.dtype == np.float64 for value in straight.state().values())
    again, there = (stepped(each, middle, SECOND) for each in (resumed, straight))
    assert again.tobytes() == there.tobytes()


@pytest.mark.parametrize("state", [{}, {"first": np.zeros(3), "second": np.zeros(3)}])
def test_a_state_of_another_model_is_refused(state: dict[str, np.ndarray]) -> None:
    """Missing, or of another dimension."""
    with pytest.raises(StateError, match=r"optimizer state 'first' of shape \(2,\)"):
        ServerOptimizer(server(), 2).restore(state)


@pytest.mark.parametrize("value", [1e39, -1e39, np.nan, np.inf])
def test_training_that_diverges_stops_with_advice(value: float) -> None:
    """Beyond float32 there is no model; the run must not go on and spend budget."""
    with pytest.raises(ConfigurationError, match=r"diverges.*lower training\.learning_rate"):
        stepped(ServerOptimizer(server(), 2), START, np.array([0.0, value]))


def test_a_model_without_parameters_stays_one() -> None:
    """Nothing to move."""
    assert stepped(ServerOptimizer(server(), 0), vector(), np.zeros(0)).shape == (0,)


def test_fedavg_keeps_nothing_between_rounds() -> None:
    """A checkpoint then holds the model alone."""
    assert ServerOptimizer(server(momentum=0.0), 2).state() == {}
    assert set(ServerOptimizer(server(momentum=0.5), 2).state()) == {"first"}
    assert set(ServerOptimizer(server(optimizer="adam"), 2).state()) == {"first", "second"}


@pytest.mark.parametrize("name", ["sgd", *BY_HAND])
def test_a_long_step_is_that_of_its_parts(name: str) -> None:
    """Blocks change no number."""
    generator, count = np.random.default_rng(3), 2**18 + 5
    start = generator.standard_normal(count).astype(np.float32)
    update = generator.standard_normal(count)
    long = stepped(ServerOptimizer(server(optimizer=name), count), start, update)
    for part in (slice(0, 9), slice(2**18 - 2, 2**18 + 5)):
        alone = ServerOptimizer(server(optimizer=name), len(start[part]))
        assert stepped(alone, start[part], update[part]).tobytes() == long[part].tobytes()


def test_a_control_variate_moves_by_its_share_of_all_clients() -> None:
    """q times the mean over those asked; it is sent behind the parameters, and kept."""
    optimizer = ServerOptimizer(server(momentum=0.0), 2, control_rate=0.5)
    assert optimizer.told(START).tolist() == [1.0, -1.0, 0.0, 0.0]
    after = stepped(optimizer, START, np.array([0.5, -0.25, 4.0, -2.0]))
    assert optimizer.told(after).tolist() == [1.5, -1.25, 2.0, -1.0]
    again = ServerOptimizer(server(momentum=0.0), 2, control_rate=0.5)
    again.restore(optimizer.state())
    assert again.told(after).tobytes() == optimizer.told(after).tobytes()
    usual = ServerOptimizer(server(), 2)
    assert usual.told(START) is START


@pytest.mark.parametrize("name", ["sgd", *BY_HAND])
def test_a_step_from_a_file_is_that_from_memory(tmp_path: Path, name: str) -> None:
    """Bit for bit, parameters and memory, over several blocks and steps."""
    generator, count = np.random.default_rng(5), 2**16 + 3
    resting, usual = (ServerOptimizer(server(optimizer=name), count) for _ in range(2))
    there = here = generator.standard_normal(count).astype(np.float32)
    for _ in range(3):
        update = generator.standard_normal(count)
        moved = room(count, np.dtype(np.float32), tmp_path)
        resting.step(laid_down(there, tmp_path), update.copy(), moved)
        there, here = whole(moved), stepped(usual, here, update)
        assert there.tobytes() == here.tobytes()
        memory = {key: laid_down(whole(kept), tmp_path) for key, kept in resting.state().items()}
        resting.rest(memory)
        for key, kept in usual.state().items():
            assert whole(resting.state()[key]).tobytes() == whole(kept).tobytes()


def test_the_memory_of_an_update_becomes_that_of_the_momentum() -> None:
    """No second vector of the same size is made."""
    optimizer = ServerOptimizer(server(momentum=0.5), 2)
    optimizer.step(START, update := FIRST.copy(), START.copy())
    assert optimizer.state()["first"] is update
