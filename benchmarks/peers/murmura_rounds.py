"""Murmura's own simulation, as `murmura simulate` runs it: murmura_rounds.py WORK ENGINE."""

import logging
import sys
import tempfile
from collections.abc import Mapping

import torch
from torch import nn
from turns import Turns
from works import CLIP, LEARNING_RATE, NOISE, WORKS, images

from server.progress import RoundFinished, RunStarted
from shared.config import Scalar
from shared.task import Examples, TaskSettings
from shared.tasks.image_classification import ImageClassification, Pool
from simulations.federation import simulate

WORK = WORKS[sys.argv[1]]


class RandomImages(ImageClassification):
    """The work's clients, each with images of its own."""

    def __init__(self, settings: TaskSettings) -> None:
        super().__init__(settings)
        pixels, labels = images(WORK)
        training = Examples((pixels.flatten(0, 1),), labels.flatten())
        self._images = training, training.select(torch.arange(100))

    def build_model(self) -> nn.Module:
        """The work's."""
        return WORK.model()

    def pool(self) -> Pool:
        """The images."""
        return self._images


class Rounds(logging.Handler):
    """A turn for each round; the first begins when the run does."""

    turns: Turns | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Wait for the next turn."""
        event = getattr(record, "progress", None)
        if isinstance(event, RunStarted):
            self.turns = Turns()
        elif isinstance(event, RoundFinished) and self.turns is not None:
            self.turns.next(event.answered)


def settings() -> Mapping[str, Scalar]:
    """The run's."""
    return {
        "task": "__main__:RandomImages", "rounds": 1000, "runtime.engine": sys.argv[2],
        "population.size": WORK.clients, "population.examples_per_client": WORK.each,
        "cohort.sample_rate": WORK.cohort / WORK.clients, "training.batch_size": WORK.batch,
        "training.learning_rate": LEARNING_RATE, "training.steps": 0, "training.epochs": 1,
        "privacy.unit": "client", "privacy.clipping_norm": CLIP, "privacy.noise_multiplier": NOISE,
        "privacy.epsilon_budget": 1000.0, "runtime.evaluate_every": 1000, "runtime.device": "cpu",
        # The peers measure nothing: no canaries here either.
        "output.tensorboard": False, "audit.canaries": 0,
    }  # fmt: skip


def main() -> None:
    """Rounds until told to stop."""
    logger = logging.getLogger("murmura.progress")
    logger.setLevel(logging.INFO)
    logger.addHandler(Rounds())
    with tempfile.TemporaryDirectory() as folder:
        simulate({**settings(), "output.dir": folder})


if __name__ == "__main__":
    main()
