"""What tasks share whose examples are made of images: scenes, captions, noise to draw from."""

from functools import lru_cache

from torch import Tensor

from shared.task import Examples, TaskSettings
from shared.tasks.fashion_mnist import FashionMnist
from shared.tasks.image_classification import Pool


class MadeOfImages(FashionMnist):
    """A subclass says what is made of images; see `ImageClassification` for who holds what."""

    def __init__(self, settings: TaskSettings) -> None:
        super().__init__(settings)
        self._pool = lru_cache(maxsize=1)(self._compute_pool)

    def pool(self) -> Pool:
        """Made once in a process, of the images of each side alone."""
        return self._pool()

    def made(self, images: Examples) -> Examples:
        """The task's examples of images with their kinds."""
        raise NotImplementedError

    def kinds(self) -> Tensor:
        """Of the sites' images, shape (n,), int64."""
        return super().pool()[0].targets

    def _compute_pool(self) -> Pool:
        training, evaluation = super().pool()
        return self.made(training), self.made(evaluation)
