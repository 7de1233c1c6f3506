"""How far drawn images are from real ones, by the features of a small fixed classifier.

d² = ‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½) between normal distributions fitted to features. The
classifier is `small_cnn`, trained on public images from a fixed seed: distances are comparable
among runs on the same public images, and not with those that the literature takes by Inception.

Source: Heusel et al. 2017, "GANs trained by a two time-scale update rule" (arXiv:1706.08500).
"""

import torch
from torch import Tensor, nn

from shared.task import Examples
from shared.tasks.image_classification import small_cnn

_SEED, _EPOCHS, _BATCH, _RATE = 20, 12, 50, 2e-3


class Judge:
    """Trained once, on `known`; compares with `real`.

    Args:
        known: Public images and labels.
        real: Other public images.
    """

    def __init__(self, known: Examples, real: Examples) -> None:
        self._model = _trained(known)
        self._features = self._model[:-1]  # type: ignore[index]
        with torch.no_grad():
            self._real = _moments(self._features(real.inputs[0]))

    @torch.no_grad()
    def distance(self, images: Tensor) -> float:
        """d² of these images, shape (n, 1, 28, 28), from the real ones."""
        (mean, spread), (real_mean, real_spread) = _moments(self._features(images)), self._real
        root = _root(real_spread)
        crossed = torch.linalg.eigvalsh(root @ spread @ root).clamp(min=0.0).sqrt().sum()
        apart = (mean - real_mean).square().sum()
        return float(apart + spread.trace() + real_spread.trace() - 2.0 * crossed)

    @torch.no_grad()
    def recognised(self, images: Tensor, labels: Tensor) -> float:
        """Share of the images that the classifier takes for what they should be."""
        return float((self._model(images).argmax(1) == labels).double().mean())


def _trained(known: Examples) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        model = small_cnn()
        optimizer = torch.optim.Adam(model.parameters(), lr=_RATE)
        with torch.enable_grad():
            for _ in range(_EPOCHS):
                for rows in torch.randperm(len(known)).split(_BATCH):
                    optimizer.zero_grad()
                    outputs = model(known.inputs[0][rows])
                    nn.functional.cross_entropy(outputs, known.targets[rows]).backward()
                    optimizer.step()
    return model.eval()


def _moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and covariance, in double precision."""
    exact = features.double()
    return exact.mean(0), torch.cov(exact.T)


def _root(spread: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(spread)
    root: Tensor = (vectors * values.clamp(min=0.0).sqrt()) @ vectors.T
    return root
