"""The run's configuration: strict, complete, and the same for `flwr run`."""

import math
import tomllib
from pathlib import Path

import pytest
from flwr.common.config import flatten_dict
from hypothesis import given
from hypothesis import strategies as st

from shared.config import RunConfig, defaults
from shared.errors import ConfigurationError

ROOT = Path(__file__).parents[2]


def test_flower_sees_the_same_defaults() -> None:
    """pyproject's `[tool.flwr.app.config]` repeats every key and default, so `flwr run` works."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert flatten_dict(project["tool"]["flwr"]["app"]["config"]) == defaults()


def test_flat_and_nested_forms_are_inverse() -> None:
    """Reading back what a configuration writes gives the configuration."""
    config = RunConfig.from_run_config({"rounds": 3, "privacy.unit": "client", "seed": 7})
    assert RunConfig.from_run_config(config.flat()) == config
    assert config.seeded
    assert not RunConfig().seeded


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("privacy.noise_multipler", "privacy.noise_multiplier"),
        ("round", "rounds"),
        ("training.learning-rate", "training.learning_rate"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_suggested(key: str, nearest: str) -> None:
    """A misspelt key is never ignored."""
    with pytest.raises(ConfigurationError, match=f"{key}.*{nearest}"):
        RunConfig.from_run_config({key: 1})


def test_an_unknown_key_like_no_other_is_refused_without_a_suggestion() -> None:
    """No far-fetched suggestion is made."""
    with pytest.raises(ConfigurationError, match=r"unknown configuration key 'zzzzzzzz'$"):
        RunConfig.from_run_config({"zzzzzzzz": 1})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rounds", 0),
        ("seed", "abc"),
        ("seed", -1),
        ("population.size", 0),
        ("population.partition", "by-name"),
        ("cohort.sample_rate", 0.0),
        ("cohort.sample_rate", 1.01),
        ("cohort.minimum_survivors", 1.5),
        ("cohort.present_at_start", 0.0),
        ("cohort.present_at_start", 1.01),
        ("training.momentum", 1.0),
        ("training.proximal_term", -0.1),
        ("privacy.noise_multiplier", 0.0),
        ("privacy.noise_multiplier", math.nan),
        ("privacy.clipping_norm", math.inf),
        ("privacy.delta", 0.0),
        ("privacy.unit", "user"),
        ("server.optimizer", "lamb"),
    ],
)
def test_a_value_outside_its_domain_is_refused_with_key_and_value(
    key: str, value: str | float
) -> None:
    """The message names the key, and the value that came."""
    with pytest.raises(ConfigurationError) as caught:
        RunConfig.from_run_config({key: value})
    assert key.rpartition(".")[2] in str(caught.value)
    assert repr(value) in str(caught.value)


@given(value=st.one_of(st.text(), st.booleans(), st.floats(), st.binary(), st.none()))
def test_a_value_of_another_type_is_never_converted(value: object) -> None:
    """Nothing but int -> float is converted: "3", 3.0 and True are not 3 rounds."""
    with pytest.raises(ConfigurationError, match="rounds must be of type int"):
        RunConfig.from_run_config({"rounds": value})


def test_a_whole_number_is_accepted_where_a_fraction_is_meant() -> None:
    """int -> float, the one conversion; a bool is no number."""
    assert RunConfig.from_run_config({"privacy.clipping_norm": 2}).privacy.clipping_norm == 2.0
    with pytest.raises(ConfigurationError):
        RunConfig.from_run_config({"privacy.clipping_norm": True})


@pytest.mark.parametrize(("steps", "epochs"), [(0, 0), (1, 1)])
def test_local_training_has_exactly_one_length(steps: int, epochs: int) -> None:
    """Steps or epochs, not both, not neither."""
    with pytest.raises(ConfigurationError, match="exactly one"):
        RunConfig.from_run_config({"training.steps": steps, "training.epochs": epochs})


def test_record_level_privacy_needs_a_public_number_of_steps() -> None:
    """Epochs would make the number of noisy steps depend on how many records a site holds."""
    raw = {"training.steps": 0, "training.epochs": 1}
    with pytest.raises(ConfigurationError, match=r"training\.steps > 0"):
        RunConfig.from_run_config(raw)
    assert RunConfig.from_run_config({**raw, "privacy.unit": "client"}).training.epochs == 1


@pytest.mark.parametrize(
    ("share", "size", "clients"),
    [(1.0, 20, 20), (0.7, 10, 7), (0.71, 10, 8), (0.1, 30, 3), (1e-12, 5, 1), (0.99, 3, 3)],
)
def test_a_run_begins_with_a_share_of_the_population_rounded_up(
    share: float, size: int, clients: int
) -> None:
    """0.7 times 10 is 7.000000000000001, and means seven."""
    raw = {"cohort.present_at_start": share, "population.size": size}
    assert RunConfig.from_run_config(raw).clients_at_start == clients


def test_a_rotation_needs_everybody_from_the_start() -> None:
    """One client more in it would change whose turn it is."""
    raw = {"privacy.unit": "client", "privacy.correlation": "banded"}
    assert RunConfig.from_run_config(raw).clients_at_start == 20
    with pytest.raises(ConfigurationError, match=r"cohort\.present_at_start = 1, got 0\.5"):
        RunConfig.from_run_config({**raw, "cohort.present_at_start": 0.5})


@pytest.mark.parametrize("engine", ["stacked", "ray"])
def test_several_devices_train_one_client(engine: str) -> None:
    """Engines that train many clients on one device are refused."""
    raw = {"runtime.device": "cuda:0,cuda:1"}
    assert RunConfig.from_run_config(raw).runtime.several
    assert RunConfig.from_run_config({"runtime.device": "all"}).runtime.several
    assert not RunConfig().runtime.several
    with pytest.raises(ConfigurationError, match=f"engine = '{engine}' trains clients on one"):
        RunConfig.from_run_config({**raw, "runtime.engine": engine})


def test_parameters_are_shared_out_over_several_devices_at_record_level_alone() -> None:
    """Plain training keeps the whole model on each."""
    raw = {"runtime.device": "cpu,cpu", "runtime.sharded": True}
    assert RunConfig.from_run_config(raw).runtime.sharded
    with pytest.raises(ConfigurationError, match=r"needs several devices, .*got 'auto'"):
        RunConfig.from_run_config({"runtime.sharded": True})
    with pytest.raises(ConfigurationError, match=r"needs privacy\.unit = 'record'.*got 'client'"):
        RunConfig.from_run_config({**raw, "privacy.unit": "client"})


def test_an_empty_range_of_inputs_is_refused() -> None:
    """Bounds that hold no number between them bound nothing."""
    with pytest.raises(ConfigurationError, match=r"statistics\.low must be below"):
        RunConfig.from_run_config({"statistics.low": 1.0, "statistics.high": 1.0})
