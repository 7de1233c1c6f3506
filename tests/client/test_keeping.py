"""Local layers are cut off an update before it is bounded; a control follows what was sent."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from client.keeping import Keeping
from client.memory import CONTROL, LOCAL, Memory
from client.site import ThisSite
from client.update import leaving
from shared.config import RunConfig, Scalar
from shared.dp.clipping import Vector
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import SeededRandomness
from shared.errors import MessageError
from shared.messages import TrainInstruction
from shared.query_messages import QueryInstruction
from shared.task import Site
from shared.vectors import FlatVector
from tests.client.test_memory import vector

CLIENT: dict[str, Scalar] = {
    "privacy.unit": "client", "privacy.clipping_norm": 1.0, "privacy.delta": 1e-3,
    "training.local_layers": "head", "training.algorithm": "scaffold", "training.steps": 2,
}  # fmt: skip


class Fixed:
    """Computing whose answers are fixed, and which notes what it was told."""

    def __init__(self, *answers: FlatVector) -> None:
        self.answers = list(answers)
        self.told: list[list[float]] = []

    def update(self, site: ThisSite, instruction: TrainInstruction, kept: FlatVector) -> FlatVector:
        """The next."""
        del site, instruction
        self.told.append(kept.tolist())
        return self.answers.pop(0)

    def rows(
        self, site: ThisSite, instruction: QueryInstruction, layers: FlatVector
    ) -> NDArray[np.float64]:
        """The layers."""
        del site, instruction
        return layers.astype(np.float64).reshape(-1, 1)


def played(folder: Path, computing: Fixed, rounds: tuple[int, ...]) -> list[list[float]]:
    """What leaves in these rounds, with two shared parameters."""
    plan = PrivacyPlan.from_config(RunConfig.from_run_config(CLIENT))
    keeping = Keeping(plan, "run", computing, SeededRandomness(1))

    def bounded(moved: FlatVector | Vector) -> FlatVector:
        return leaving(moved.astype(np.float32, copy=False), plan.mechanism)

    return [
        keeping.update(whole(folder), asked(number), bounded).astype(float).tolist()
        for number in rounds
    ]


def whole(folder: Path) -> ThisSite:
    """A site."""
    site = Site(index=0, partition=None)
    return ThisSite(client_id="a", site=site, data_dir=None, memory=folder)


def asked(number: int) -> TrainInstruction:
    """Two parameters and their control variate."""
    return TrainInstruction(
        round_number=number, attempt=1, plan="", plan_digest="", clipping_norm=1.0,
        parameters=vector(0, 0, 0, 0),
    )  # fmt: skip


def test_what_is_sent_is_one_clipped_vector_and_the_control_follows_it(tmp_path: Path) -> None:
    """Norm 1 over movement and control together; the layers stay, and come back in the next."""
    computing = Fixed(
        vector(0, 3, 0, -4, 7, 8), vector(0, 0, 0.5, 0, 9, 9), vector(0, 0, 0, 0, 1, 1)
    )
    sent = played(tmp_path, computing, (1, 2, 2))
    assert sent[0] == pytest.approx([0.0, 0.6, 0.0, -0.8], abs=1e-6)
    assert computing.told[0] == []
    assert computing.told[1] == pytest.approx([0.0, -0.8, 7.0, 8.0], abs=1e-6)
    assert computing.told[2] == computing.told[1]  # asked again
    plan = PrivacyPlan.from_config(RunConfig.from_run_config(CLIENT))
    latest = Memory.of(whole(tmp_path), plan, "run").latest()
    assert latest[CONTROL].tolist() == pytest.approx([0.0, -0.8], abs=1e-6)
    assert latest[LOCAL].tolist() == [1.0, 1.0]


def test_an_answer_that_is_too_short_does_not_leave(tmp_path: Path) -> None:
    """Nor is it kept."""
    with pytest.raises(MessageError, match="at least 4 numbers, got 3"):
        played(tmp_path, Fixed(vector(1, 2, 3)), (1,))
    assert list(tmp_path.iterdir()) == []


def test_questions_are_answered_with_the_site_s_own_layers(tmp_path: Path) -> None:
    """The latest; without any, whoever computes begins with the first ones."""
    computing = Fixed(vector(0, 0, 0, 0, 7, 8))
    plan = PrivacyPlan.from_config(RunConfig.from_run_config(CLIENT))
    keeping = Keeping(plan, "run", computing, SeededRandomness(1))
    question = QueryInstruction(
        kind="evaluate", round_number=1, attempt=1, plan="", plan_digest="",
        parameters=vector(0, 0), normalisation=vector(),
    )  # fmt: skip
    assert keeping.rows(whole(tmp_path), question).size == 0
    played(tmp_path, computing, (1,))
    assert keeping.rows(whole(tmp_path), question).tolist() == [[7.0], [8.0]]
