"""A checkpoint gives back what was saved, to the same run and code only, without pickle."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from server.at_rest import laid_down, whole
from server.checkpoint import CHECKPOINT, Checkpoint, at_rest, restore, resumable, save
from server.run_folder import RunFolder
from shared.config import Scalar
from shared.errors import StateError
from tests.server.fake_grid import vector
from tests.server.toy import config

CODE = "c" * 64


def checkpoint() -> Checkpoint:
    """Round three of a toy run."""
    return Checkpoint(
        round_number=3,
        parameters=vector(0.1, -0.2),
        optimizer={"first": np.array([1e-300, 1 / 3]), "second": np.array([2.0, 3.0])},
        config=resumable(config(Path())),
        code_digest=CODE,
        clients_lost=4,
        seconds=1.5,
    )


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A folder with that checkpoint."""
    made = RunFolder(tmp_path)
    save(made, checkpoint())
    return made


def test_what_was_saved_comes_back(folder: RunFolder) -> None:
    """Bit for bit, with its types."""
    found, saved = restore(folder, config(Path()), CODE), checkpoint()
    assert found is not None
    assert whole(found.parameters).tobytes() == whole(saved.parameters).tobytes()
    assert found.parameters.dtype == np.float32
    for name, value in saved.optimizer.items():
        assert whole(found.optimizer[name]).tobytes() == whole(value).tobytes()
        assert found.optimizer[name].dtype == np.float64
    for name in ("round_number", "config", "code_digest", "clients_lost", "seconds"):
        assert getattr(found, name) == getattr(saved, name)


def test_what_is_saved_from_a_file_is_what_would_be_saved_from_memory(folder: RunFolder) -> None:
    """Bit for bit, of several blocks; also over the checkpoint that it lies in."""
    numbers = np.random.default_rng(2).standard_normal(2**18 + 3)
    memory, parameters = {"first": numbers}, numbers.astype(np.float32)
    save(folder, replace(checkpoint(), parameters=parameters, optimizer=memory))
    usual = folder.file(CHECKPOINT).read_bytes()
    laid = laid_down(parameters, folder.path)
    resting = {name: laid_down(value, folder.path) for name, value in memory.items()}
    save(folder, replace(checkpoint(), parameters=laid, optimizer=resting))
    assert folder.file(CHECKPOINT).read_bytes() == usual
    laid, resting = at_rest(folder)
    save(folder, replace(checkpoint(), parameters=laid, optimizer=resting))
    assert folder.file(CHECKPOINT).read_bytes() == usual


def test_the_file_is_one_of_safetensors(folder: RunFolder) -> None:
    """Read by its own code; each tensor lies at a multiple of its width, the header too."""
    content = folder.file(CHECKPOINT).read_bytes()
    length = int.from_bytes(content[:8], "little")
    described = json.loads(content[8 : 8 + length])
    widths = {"F64": 8, "F32": 4, "U8": 1}
    assert length % 8 == 0
    assert {entry["dtype"] for entry in described.values()} == set(widths)
    for entry in described.values():
        assert entry["data_offsets"][0] % widths[entry["dtype"]] == 0
    assert set(load_tensors(content)) == set(described)


def test_what_was_saved_is_read_where_it_lies(folder: RunFolder) -> None:
    """Also after another checkpoint has replaced it."""
    parameters, optimizer = at_rest(folder)
    saved = checkpoint()
    save(folder, replace(saved, parameters=vector(7.0, 8.0), optimizer={}))
    assert parameters[:].tobytes() == whole(saved.parameters).tobytes()
    assert set(optimizer) == set(saved.optimizer)
    for name, value in saved.optimizer.items():
        assert optimizer[name][1:].tolist() == value[1:].tolist()
    assert at_rest(folder)[0][:].tolist() == [7.0, 8.0]


def test_noise_of_several_rows_keeps_its_shape(tmp_path: Path) -> None:
    """Also where it is laid out otherwise in memory, or empty."""
    rows = {"rows": np.arange(6.0).reshape(2, 3).T, "none": np.zeros((0, 3))}
    made = RunFolder(tmp_path)
    save(made, replace(checkpoint(), noise=rows))
    found = restore(made, config(Path()), CODE)
    assert found is not None
    for name, value in rows.items():
        assert found.noise[name].tolist() == value.tolist()
        assert found.noise[name].shape == value.shape


def test_where_no_round_was_finished_there_is_none(tmp_path: Path) -> None:
    """A run that was killed in its first round starts again."""
    assert restore(RunFolder(tmp_path), config(Path()), CODE) is None


def test_a_run_does_not_go_on_with_another_configuration(folder: RunFolder) -> None:
    """Says every key that differs."""
    other = config(Path(), {"server.momentum": 0.7, "rounds": 9})
    with pytest.raises(StateError, match=r"rounds, server\.momentum differ: expected rounds = 2"):
        restore(folder, other, CODE)


@pytest.mark.parametrize(
    "changes",
    [
        {"output.dir": "elsewhere", "output.tensorboard": True, "output.resume": True},
        {"runtime.evaluate_every": 5},
        {"runtime.gpu_memory_fraction": 0.5},
    ],
)
def test_what_changes_no_number_may_differ(folder: RunFolder, changes: dict[str, Scalar]) -> None:
    """Where results go, how often the model is measured, how much of a GPU is taken."""
    assert restore(folder, config(Path(), changes), CODE) is not None


def test_what_may_change_the_last_bits_may_not_differ(folder: RunFolder) -> None:
    """The number of threads changes the order of additions."""
    with pytest.raises(StateError, match=r"runtime\.torch_threads differ"):
        restore(folder, config(Path(), {"runtime.torch_threads": 2}), CODE)


def test_a_run_does_not_go_on_with_other_code(folder: RunFolder) -> None:
    """Other code may promise something else."""
    with pytest.raises(StateError, match="own code only: expected cccccccccccc, got dddddddddddd"):
        restore(folder, config(Path()), "d" * 64)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04pickle",
        save_tensors({"parameters": np.zeros(2)}),
        save_tensors({"header": np.frombuffer(b"[]", np.uint8), "parameters": np.zeros(2)}),
        save_tensors({"header": np.frombuffer(b"{}", np.uint8), "parameters": np.zeros(2)}),
        save_tensors({"header": np.frombuffer(b"{}", np.uint8)}),
    ],
)
def test_a_corrupt_checkpoint_is_a_state_error(tmp_path: Path, content: bytes) -> None:
    """Never another exception, and never half a state."""
    folder = RunFolder(tmp_path)
    folder.file(CHECKPOINT).write_bytes(content)
    with pytest.raises(StateError, match="cannot be read as a checkpoint"):
        restore(folder, config(Path()), CODE)


def test_a_cut_checkpoint_is_a_state_error(folder: RunFolder) -> None:
    """At every length."""
    path = folder.file(CHECKPOINT)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(StateError):
            restore(folder, config(Path()), CODE)
