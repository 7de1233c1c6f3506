"""Image classification: the models, and what every image task shares.

No model has batch norm: it mixes examples, and its running means are statistics of private data.

Source: Papernot et al. 2020, "Tempered sigmoid activations" (arXiv:2007.14191), table 1, for
`small_cnn`; McMahan et al. 2017 for the shape of `cnn`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from shared.errors import ConfigurationError
from shared.task import Examples, TaskSettings
from shared.tasks.image_files import read_images
from shared.tasks.pooled import Pooled
from shared.tasks.residual import resnet

Pool = tuple[Examples, Examples]  # what sites share, what the server may measure on


def cnn(classes: int = 10) -> nn.Module:
    """Two 3x3 convolutions, pooling, a 128-unit layer, ReLU: 421,642 parameters, 28x28x1 -> 10."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Linear(128, classes),
    )  # fmt: skip


def small_cnn(classes: int = 10) -> nn.Module:
    """The DP-friendly CNN with bounded activations: 26,010 parameters, 28x28x1 -> 10."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 8, stride=2, padding=2), nn.Tanh(), nn.MaxPool2d(2, stride=1),
        nn.Conv2d(16, 32, 4, stride=2), nn.Tanh(), nn.MaxPool2d(2, stride=1),
        nn.Flatten(), nn.Linear(32 * 4 * 4, 32), nn.Tanh(), nn.Linear(32, classes),
    )  # fmt: skip


class ImageClassification(Pooled):
    """What image tasks share; a subclass names its models and loads its pool.

    Args:
        settings: Model name and where the data lie.

    Raises:
        ConfigurationError: the model is not one of the task's, or a folder of data is given to a
            task that reads none.
    """

    models: ClassVar[Mapping[str, Callable[[], nn.Module]]] = {
        "small_cnn": small_cnn,
        "cnn": cnn,
        "resnet": resnet,
    }
    reads_folder: ClassVar[bool] = False

    def __init__(self, settings: TaskSettings) -> None:
        super().__init__(settings)
        if settings.data_dir and not self.reads_folder:
            # A site would believe that it trains on its own data, and train on a public set.
            raise ConfigurationError(
                f"data.dir must be empty for {type(self).__name__}, which reads no folder, got "
                f"{str(settings.data_dir)!r}"
            )

    def pool(self) -> Pool:
        """Training and evaluation examples; a subclass says from where."""
        raise NotImplementedError

    def training(self) -> Examples:
        """What sites hold."""
        return self.pool()[0]

    def build_model(self) -> nn.Module:
        """A fresh model; its initial numbers come from torch's global generator."""
        return self.models[self.model]()

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of each example, shape (n,)."""
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Whether each example's largest output is its label, 0 or 1, shape (n,)."""
        return {"accuracy": (outputs.argmax(1) == targets).float()}

    def read_inputs(self, paths: Sequence[Path]) -> tuple[Tensor, ...]:
        """Pictures in files, scaled to the size of the task's."""
        return (read_images(paths, self.evaluation_data().inputs[0].shape[1:]),)

    def evaluation_data(self) -> Examples:
        """The public test images."""
        return self.pool()[1]
