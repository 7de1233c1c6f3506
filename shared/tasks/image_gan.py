"""A conditional GAN on Fashion-MNIST: clients train the discriminator, the server the generator.

An example's loss is -log D(x|y) - log(1 - D(G(z|y)|y)): one number, so that clipping bounds what
one example does to the discriminator, and noise hides it. The generator learns from the noised
discriminator alone, without data: post-processing. z comes from the example itself.

Source: Xie et al. 2018, "Differentially private GAN" (arXiv:1802.06739); Augenstein et al. 2020
(arXiv:1911.06679) for who trains what; Bie et al. 2023 (arXiv:2302.02936) for several steps of the
discriminator to one of the generator.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.grey_png import grid, png
from shared.own_draws import own_draws
from shared.task import Examples, TaskSettings
from shared.tasks.fashion_mnist import FashionMnist, find_images
from shared.tasks.frechet import Judge
from shared.tasks.gan_networks import CLASSES, NOISE, Gan
from shared.tasks.made_of_images import MadeOfImages

_BATCH, _RATE, _BETAS = 64, 1e-3, (0.0, 0.99)  # of the generator
_JUDGED = 1000  # drawn images that a score is taken from
_SHOWN = 10  # images of each kind in a picture
_SEED = 7  # of the noise that pictures and scores are drawn from: the same in every round


class ImageGan(MadeOfImages):
    """The task; see `ImageClassification` for who holds what."""

    models: ClassVar = {"gan": Gan}
    server_part: ClassVar[str] = "generator."

    def made(self, images: Examples) -> Examples:
        """Images, each with noise of its own, and labels; the label is the target too."""
        return _with_noise(images)

    def why_unexplained(self) -> str:
        """For `murmura explain`."""
        return (
            "a drawn image comes of noise, whose parts mean nothing; the run's samples-*.png show "
            "what is drawn"
        )

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How badly the real and the drawn image of each example were told apart, shape (n,)."""
        del targets
        return functional.softplus(-outputs[:, 0]) + functional.softplus(outputs[:, 1])

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Share of each example's two images that the discriminator takes for what they are."""
        del targets
        right = (outputs[:, 0] > 0).float() + (outputs[:, 1] < 0).float()
        return {"told_apart": right / 2.0}

    def after_step(self, model: nn.Module, generator: torch.Generator, *, steps: int) -> None:
        """As many steps of the generator as clients made of the discriminator, which stays."""
        own = list(model.generator.parameters())  # type: ignore[union-attr]
        device = own[0].device
        optimizer = torch.optim.Adam(own, lr=_RATE, betas=_BETAS)
        for _ in range(steps):
            noise, labels = (part.to(device) for part in _drawn_inputs(_BATCH, generator))
            images = model.generator(noise, labels)  # type: ignore[operator]
            odds = model.discriminator((images,), labels)  # type: ignore[operator]
            optimizer.zero_grad()
            functional.softplus(-odds).mean().backward()
            optimizer.step()

    @torch.no_grad()
    def scores(self, model: nn.Module) -> Mapping[str, float]:
        """Of drawn images: `accuracy`, the share that a classifier recognises; `frechet`, d²."""
        noise, labels = _drawn_inputs(_JUDGED, torch.Generator().manual_seed(_SEED))
        images = _drawn(model, noise, labels)
        judge = _judge(find_images(self.settings.data_dir))
        return {
            "accuracy": judge.recognised(images, labels),
            "frechet": judge.distance(images),
        }

    @torch.no_grad()
    def pictures(self, model: nn.Module) -> Mapping[str, bytes]:
        """A row of drawn images for each kind of clothes."""
        noise, _ = _drawn_inputs(CLASSES * _SHOWN, torch.Generator().manual_seed(_SEED))
        labels = torch.arange(CLASSES).repeat_interleave(_SHOWN)
        return {"samples": png(grid(_drawn(model, noise, labels)[:, 0].numpy(), _SHOWN))}


@lru_cache(maxsize=2)
def _judge(place: Path) -> Judge:
    """Trained on the first half of the public images; the second is what is compared with."""
    public = FashionMnist(TaskSettings(data_dir=place)).evaluation_data()
    rows = torch.arange(len(public))
    half = len(public) // 2
    return Judge(public.select(rows[:half]), public.select(rows[half:]))


def _with_noise(examples: Examples) -> Examples:
    images, labels = examples.inputs[0], examples.targets
    halves = own_draws(images.numpy(), 2 * NOISE)
    # Box & Muller 1958.
    radius = np.sqrt(-2.0 * np.log1p(-halves[:, :NOISE]))
    noise = radius * np.cos(2.0 * np.pi * halves[:, NOISE:])
    return Examples((images, torch.from_numpy(noise.astype(np.float32)), labels), labels)


def _drawn_inputs(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    noise = torch.empty(count, NOISE).normal_(generator=generator)
    labels = torch.empty(count).uniform_(0, CLASSES, generator=generator).long()
    return noise, labels.clamp(max=CLASSES - 1)


def _drawn(model: nn.Module, noise: Tensor, labels: Tensor) -> Tensor:
    device = next(model.parameters()).device
    images: Tensor = model.generator(noise.to(device), labels.to(device)).cpu()  # type: ignore[operator]
    return images
