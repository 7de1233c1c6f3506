"""Two processes of one client train what one does: each record clipped once, noise added once."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as group
from torch.multiprocessing.spawn import spawn

from client.several_devices import SeveralDevices
from client.turn import Turn
from shared.config import Scalar
from shared.dp.mechanisms import RecordPrivacy
from shared.dp.randomness import SeededRandomness
from shared.parameters import fill, flatten, trainable
from shared.vectors import FlatVector
from tests.client.toy import cross_entropy, examples, mlp, start, training

COUNTS, RATE = (23, 0), 0.5
KEYS: dict[str, Scalar] = {
    "training.steps": 4, "training.batch_size": 10, "training.sample_rate": 0.5,
    "training.learning_rate": RATE, "training.max_physical_batch": 3,
    "privacy.clipping_norm": 0.7, "privacy.noise_multiplier": 0.3,
}  # fmt: skip
MECHANISM = RecordPrivacy(
    clipping_norm=0.7, noise_multiplier=0.3, sample_rate=0.5, steps_per_round=4, batch_size=10
)
TURN = Turn(randomness=SeededRandomness(7), client_id="a", round_number=1, attempt=1)


def part(rank: int, size: int, folder: str) -> None:
    """One process: trains with records and without any, and writes where it came to."""
    torch.set_num_threads(1)
    group.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size
    )
    try:
        for count in COUNTS:
            model = mlp()
            fill(trainable(model), start())
            several = SeveralDevices(
                model,
                lambda made, batch: cross_entropy(made(*batch.inputs), batch.targets),
                MECHANISM,
                torch.optim.SGD(trainable(model), lr=RATE),
                max_physical_batch=3,
            )
            several.steps(examples(count), TURN if rank == 0 else None)
            np.save(f"{folder}/{count}-{rank}.npy", flatten(model))
    finally:
        group.destroy_process_group()


def alone(count: int) -> FlatVector:
    """Where the ordinary trainer comes to."""
    moved: FlatVector = training(KEYS).moved(start(), examples(count), TURN).astype(np.float32)
    return start() + moved


def check(folder: Path, size: int) -> None:
    """All processes came to where one does; noise moved everything, without records too."""
    for count in COUNTS:
        found = [np.load(folder / f"{count}-{rank}.npy") for rank in range(size)]
        assert {part.tobytes() for part in found} == {found[0].tobytes()}
        assert np.abs(found[0] - start()).min() > 0.0
        assert np.allclose(found[0], alone(count), atol=2e-6)


@pytest.mark.slow
def test_two_processes_come_to_where_one_does(tmp_path: Path) -> None:
    """Each record is clipped once, in one of them; noise is added once."""
    spawn(part, args=(2, str(tmp_path)), nprocs=2)
    check(tmp_path, 2)


def test_one_process_is_the_ordinary_trainer(tmp_path: Path) -> None:
    """The same draws, the same noise."""
    part(0, 1, str(tmp_path))
    check(tmp_path, 1)
