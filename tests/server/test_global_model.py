"""A model that lies in a file between two rounds is the one that would lie in memory."""

from pathlib import Path

import numpy as np
import pytest

from server import at_rest, federation, global_model
from server.aggregation import Vector
from server.at_rest import AtRest
from server.checkpoint import Checkpoint, save
from server.coordinator import run
from server.federation import Federation
from server.run_folder import RunFolder
from shared.config import Scalar
from tests.server.fake_grid import FakeGrid, honest
from tests.server.toy import config

KINDS: dict[str, dict[str, Scalar]] = {
    "momentum": {},
    "no memory": {"server.momentum": 0.0},
    "adam": {"server.optimizer": "adam"},
}


def play(folder: Path, changes: dict[str, Scalar]) -> None:
    """A run over a network, as far as the server knows."""
    grid = FakeGrid(3, honest)
    grid.simulated = False
    run(config(folder, changes), grid)


def every(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is large enough."""
    monkeypatch.setattr("server.global_model.SMALLEST", 0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_gives_the_same_bytes_wherever_its_model_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Model and checkpoint; nothing else is left in the folder."""
    changes: dict[str, Scalar] = {"rounds": 3} | KINDS[kind]
    play(tmp_path / "memory", changes)
    every(monkeypatch)
    play(tmp_path / "file", changes)
    memory, file = (tmp_path / name / "toy" for name in ("memory", "file"))
    model = "model.safetensors"
    assert (memory / model).read_bytes() == (file / model).read_bytes()
    assert {path.name for path in memory.iterdir()} == {path.name for path in file.iterdir()}


def test_a_run_that_was_interrupted_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the file in which its model was at rest."""
    every(monkeypatch)
    changes: dict[str, Scalar] = {"rounds": 3}
    play(tmp_path / "whole", changes)
    original = Federation.play_round

    def stopping(self: Federation, round_number: int) -> None:
        if round_number == 2:
            raise KeyboardInterrupt
        original(self, round_number)

    monkeypatch.setattr(Federation, "play_round", stopping)
    with pytest.raises(KeyboardInterrupt):
        play(tmp_path / "parts", changes)
    monkeypatch.setattr(Federation, "play_round", original)
    play(tmp_path / "parts", changes | {"output.resume": True})
    whole, parts = (tmp_path / name / "toy/model.safetensors" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()


def test_while_updates_come_no_part_of_the_model_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither before the first round nor after a step; a small one stays in memory."""
    every(monkeypatch)
    seen: list[object] = []
    original = Federation.play_round

    def looked(self: Federation, round_number: int) -> None:
        seen.append(self.model.at_rest)
        original(self, round_number)

    monkeypatch.setattr(Federation, "play_round", looked)
    play(tmp_path / "large", {"rounds": 2})
    assert [type(each) for each in seen] == [AtRest, AtRest]
    monkeypatch.setattr("server.global_model.SMALLEST", 1 << 20)
    play(tmp_path / "small", {"rounds": 2})
    assert [type(each) for each in seen[2:]] == [np.ndarray, np.ndarray]


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_writes_the_model_to_a_file_and_the_checkpoint_is_made_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The mean is twice as large: what is made of it is never in memory beside it."""
    every(monkeypatch)
    seen: list[object] = []

    def looked(folder: RunFolder, checkpoint: Checkpoint) -> None:
        seen.append(type(checkpoint.parameters))
        save(folder, checkpoint)

    monkeypatch.setattr(federation, "save", looked)
    play(tmp_path, {"rounds": 2, "runtime.evaluate_every": 3} | KINDS[kind])
    assert seen == [AtRest, AtRest]


def test_while_the_model_is_measured_the_optimizer_s_memory_is_not_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is laid down before, and in the checkpoint afterwards."""
    every(monkeypatch)
    laid: list[int] = []
    original = at_rest.laid_down

    def noted(numbers: Vector, folder: Path) -> AtRest:
        laid.append(len(numbers))
        return original(numbers, folder)

    monkeypatch.setattr(global_model, "laid_down", noted)
    play(tmp_path, {"rounds": 2, "runtime.evaluate_every": 2})
    assert laid == [2, 2]  # at the start the model; at the end the momentum
