"""A run starts from a model that can be trained as promised, the same for the same seed."""

from pathlib import Path

import pytest
import torch

from server.preparation import Prepared, prepare
from shared.config import Scalar
from shared.errors import ConfigurationError
from shared.parameters import flatten
from tests.server.toy import TASK, config, plan


def prepared(**changes: Scalar) -> Prepared:
    """Of a toy run."""
    return prepare(config(Path(), changes), plan())


def test_initial_parameters_are_a_function_of_the_seed() -> None:
    """And of nothing that happened before."""
    torch.manual_seed(1)
    first = flatten(prepared().model)
    torch.manual_seed(2)
    assert flatten(prepared().model).tobytes() == first.tobytes()
    assert flatten(prepared(seed=6).model).tobytes() != first.tobytes()


def test_a_run_of_fresh_randomness_starts_elsewhere_each_time() -> None:
    """Not from torch's default seed."""
    parameters = []
    for _ in range(2):
        torch.manual_seed(0)
        parameters.append(flatten(prepared(seed="os").model).tobytes())
    assert parameters[0] != parameters[1]


def test_torchs_own_generator_stays_as_it_was() -> None:
    """Other code of the process may rest on it."""
    before = torch.random.get_rng_state()
    prepared()
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("unit", ["record", "client", "none"])
def test_a_model_that_mixes_examples_is_refused(unit: str) -> None:
    """Before anything is written or sent; the layer and its replacement are named."""
    changes: dict[str, Scalar] = {"task": TASK.replace("Toy", "Mixing"), "privacy.unit": unit}
    with pytest.raises(ConfigurationError, match=r"BatchNorm1d.*nn\.GroupNorm"):
        prepare(config(Path(), changes), plan(changes))


def test_a_frozen_part_that_differs_between_nodes_is_refused() -> None:
    """It does not travel, so every client would train another model."""
    changes: dict[str, Scalar] = {"task": TASK.replace("Toy", "Drifting")}
    with pytest.raises(ConfigurationError, match=r"'0\.weight' is not trained"):
        prepare(config(Path(), changes), plan(changes))
