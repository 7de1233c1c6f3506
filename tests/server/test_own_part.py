"""The server's own part of a model: trained by it alone, and nothing else of the model is."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from server.evaluation import Measurement
from server.own_part import OwnPart
from server.pictures import kept
from server.run_folder import RunFolder
from shared.config import RunConfig
from shared.dp.randomness import SeededRandomness
from shared.errors import ConfigurationError
from shared.parameters import FlatVector
from shared.task import TaskSettings
from tests.server.fake_grid import vector
from tests.server.toy import Toy, config


class Biased(Toy):
    """The server trains the bias."""

    server_part: ClassVar[str] = "bias"
    value = 1.0

    def after_step(self, model: nn.Module, generator: torch.Generator, *, steps: int) -> None:
        """Add the weight and a random number to the bias; meddle with the weight."""
        assert steps == 1
        with torch.no_grad():
            drawn = torch.empty(1).uniform_(generator=generator)
            model.bias.add_(self.value * model.weight.flatten() + drawn)  # type: ignore[operator]
            model.weight.fill_(77.0)  # type: ignore[operator]


class Endless(Biased):
    """Its training diverges."""

    value = float("inf")


def stepped(kind: type[Toy], before: FlatVector, after: FlatVector, seed: int = 1) -> FlatVector:
    """Of weight and bias."""
    part = OwnPart(kind(TaskSettings()), config(Path()))
    return part.stepped(before, after, lambda: SeededRandomness(seed).stream("own_part", 1, 1))


def test_without_such_a_part_the_step_is_the_clients() -> None:
    """Untouched."""
    after = vector(3.0, 4.0)
    assert stepped(Toy, vector(1.0, 2.0), after) is after


def test_the_part_goes_on_from_where_the_server_left_it() -> None:
    """The clients' 4 is thrown away, their 3 kept; 2 + 3 + a number of this stream."""
    found = stepped(Biased, vector(1.0, 2.0), vector(3.0, 4.0))
    assert found[0] == 3.0
    assert 5.0 <= found[1] < 6.0
    assert np.array_equal(found, stepped(Biased, vector(1.0, 2.0), vector(3.0, -9.0)))
    assert not np.array_equal(found, stepped(Biased, vector(1.0, 2.0), vector(3.0, 4.0), seed=2))


def test_a_part_that_diverges_stops_the_run() -> None:
    """With what to change."""
    with pytest.raises(ConfigurationError, match="'bias' diverges"):
        stepped(Endless, vector(1.0, 2.0), vector(3.0, 4.0))


@pytest.mark.parametrize(("name", "count"), [("nothing", 0), ("", 2)])
def test_a_part_that_is_nothing_or_everything_is_refused(
    name: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run without clients, or a name that was misspelt."""
    monkeypatch.setattr(Biased, "server_part", name)
    with pytest.raises(ConfigurationError, match=f"got {count} of 2"):
        OwnPart(Biased(TaskSettings()), config(Path()))


def test_layers_that_stay_at_clients_are_refused_beside_it() -> None:
    """The server would have no whole model to train."""
    flat = config(Path()).flat() | {"training.local_layers": "bias"}
    with pytest.raises(ConfigurationError, match="local_layers must be empty"):
        OwnPart(Biased(TaskSettings()), RunConfig.from_run_config(flat))


def test_pictures_lie_in_the_run_folder(tmp_path: Path) -> None:
    """One file for each round that is measured."""
    measured = Measurement(loss=0.0, metrics={}, pictures={"samples": b"of a PNG"})
    assert kept(RunFolder(tmp_path), 20, measured) is measured
    assert (tmp_path / "samples-000020.png").read_bytes() == b"of a PNG"
    assert "PNG" not in repr(measured)
