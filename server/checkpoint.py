"""Server state <-> one file, replaced at once after every round: safetensors, no pickle."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from server.at_rest import AtRest, Opened
from server.run_folder import RunFolder
from server.tensor_file import KINDS, parts
from shared.config import RunConfig, Scalar
from shared.errors import StateError
from shared.parameters import FlatVector

CHECKPOINT = "checkpoint.safetensors"
_HEADER = "header"
_OPTIMIZER = "optimizer."
_NOISE = "noise."
# What may differ when a run goes on: it cannot change a number of the model or of the report.
_NEUTRAL = ("output.", "runtime.evaluate_every", "runtime.gpu_memory_fraction")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Everything a run needs to go on after `round_number`, but its charges, which lie beside it.

    Attributes:
        round_number: Rounds done.
        parameters: Global parameters, shape (d,), float32.
        optimizer: The server optimizer's memory.
        config: The run's configuration, flat, without what may differ when the run goes on.
        code_digest: SHA-256 of the code that made it.
        clients_lost: Clients lost so far, over all rounds.
        seconds: Time spent in rounds so far.
        normalisation: As `Normalisation.vector`; of length 0 for none.
        clipping_norm: C of the next round.
        noise: What correlated noise needs of past rounds: a secret of the server.
        strikes: Rejections by client.
    """

    round_number: int
    parameters: FlatVector | AtRest
    optimizer: Mapping[str, NDArray[np.float64] | AtRest]
    config: dict[str, Scalar]
    code_digest: str
    clients_lost: int
    seconds: float
    normalisation: FlatVector = field(default_factory=lambda: np.zeros(0, dtype=np.float32))
    clipping_norm: float = 0.0
    noise: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    strikes: dict[str, int] = field(default_factory=dict)


def resumable(config: RunConfig) -> dict[str, Scalar]:
    """The part of a configuration that must be the same when a run goes on."""
    return _compared(config.flat())


def _compared(flat: Mapping[str, Scalar]) -> dict[str, Scalar]:
    return {key: value for key, value in flat.items() if not key.startswith(_NEUTRAL)}


def save(folder: RunFolder, checkpoint: Checkpoint) -> None:
    """Replace the folder's checkpoint; raises StateError if it cannot be written."""
    header = {
        "round_number": checkpoint.round_number,
        "config": checkpoint.config,
        "code_digest": checkpoint.code_digest,
        "clients_lost": checkpoint.clients_lost,
        "seconds": checkpoint.seconds,
        "clipping_norm": checkpoint.clipping_norm,
        "strikes": checkpoint.strikes,
    }
    tensors: dict[str, NDArray[Any] | AtRest] = {
        _OPTIMIZER + name: value for name, value in checkpoint.optimizer.items()
    }
    tensors |= {_NOISE + name: value for name, value in checkpoint.noise.items()}
    tensors["parameters"] = checkpoint.parameters
    tensors["normalisation"] = checkpoint.normalisation
    text = json.dumps(header).encode()
    # safetensors' reader for NumPy does not give the metadata back, so the header is a tensor.
    tensors[_HEADER] = np.frombuffer(text, dtype=np.uint8)
    folder.write_parts(CHECKPOINT, parts(tensors))


def restore(folder: RunFolder, config: RunConfig, code_digest: str) -> Checkpoint | None:
    """The folder's checkpoint; None where no round was finished.

    Raises:
        StateError: it cannot be read, or configuration or code differ; says what differs.
    """
    path = folder.file(CHECKPOINT)
    if not path.exists():
        return None
    try:
        tensors = load_tensors(path.read_bytes())
        header = json.loads(tensors.pop(_HEADER).tobytes())
        parameters, normalisation = tensors.pop("parameters"), tensors.pop("normalisation")
        checkpoint = Checkpoint(
            parameters=parameters,
            normalisation=normalisation,
            optimizer=_named(tensors, _OPTIMIZER),
            noise=_named(tensors, _NOISE),
            **header,
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"{path} cannot be read as a checkpoint: {error}") from error
    check_same(checkpoint.config, config, checkpoint.code_digest, code_digest)
    return checkpoint


def at_rest(folder: RunFolder) -> tuple[AtRest, dict[str, AtRest]]:
    """Parameters and optimizer's memory in the checkpoint that this process has just saved.

    They stay what they are when another checkpoint replaces it. Raises StateError.
    """
    file = Opened.of(folder.file(CHECKPOINT))
    length = memoryview(bytearray(8))
    file.read(0, length)
    text = memoryview(bytearray(int.from_bytes(length, "little")))
    file.read(len(length), text)
    start, found = len(length) + len(text), dict[str, AtRest]()
    for name, described in json.loads(bytes(text)).items():
        if name == "parameters" or name.startswith(_OPTIMIZER):
            kind, (begin, _) = np.dtype(KINDS[described["dtype"]]), described["data_offsets"]
            found[name] = AtRest(file, start + begin, kind, *described["shape"])
    return found.pop("parameters"), {
        name.removeprefix(_OPTIMIZER): vector for name, vector in found.items()
    }


def _named(tensors: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def check_same(
    before: Mapping[str, Scalar], config: RunConfig, code_before: str, code_now: str
) -> None:
    """Raise StateError unless configuration and code are those of the interrupted run.

    Args:
        before: The interrupted run's configuration, flat.
        config: The configuration now.
        code_before: Digest of the code of the interrupted run.
        code_now: Digest of the code now.
    """
    old, now = _compared(before), resumable(config)
    different = sorted(key for key in old.keys() | now.keys() if old.get(key) != now.get(key))
    if different:
        key = different[0]
        raise StateError(
            f"a run goes on with its own configuration only; {', '.join(different)} differ: "
            f"expected {key} = {old.get(key)!r}, got {now.get(key)!r}"
        )
    if code_before != code_now:
        raise StateError(
            f"a run goes on with its own code only: expected {code_before[:12]}, got "
            f"{code_now[:12]}"
        )
