"""A conditional GAN for 28x28 images: a discriminator for clients, a generator for the server.

The generator is dense, for clients run it too, and smooths what it draws by a fixed mean, which
costs nothing and leaves no speckle. The discriminator sees the real and the drawn image of an
example by the same layers.

Source: Goodfellow et al. 2014 (arXiv:1406.2661); Miyato & Koyama 2018, "cGANs with projection
discriminator" (arXiv:1802.05637), for the label.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

NOISE, CLASSES, SIDE = 32, 10, 28
_FEATURES = 64
_LOUD = 2.0  # a label against one coordinate of noise
_STEEP = 3.0  # of the edges that the mean has made flat


class Generator(nn.Module):
    """Noise and label -> image: 212,496 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(NOISE + CLASSES, 256), nn.ReLU(), nn.Linear(256, SIDE * SIDE)
        )

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Shapes (n, 32) and (n,) -> (n, 1, 28, 28), in [-1, 1]."""
        known = _LOUD * functional.one_hot(labels, CLASSES).to(noise.dtype)
        drawn = self.layers(torch.cat([noise, known], dim=1)).view(-1, 1, SIDE, SIDE)
        return torch.tanh(_STEEP * functional.avg_pool2d(drawn, 3, stride=1, padding=1))


class Discriminator(nn.Module):
    """Images and labels -> how real each looks: 51,281 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Sequential(
            nn.Conv2d(1, 16, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(16, 32, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
            nn.Conv2d(32, 32, 3, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Flatten(),
        )  # fmt: skip
        self.features = nn.Sequential(nn.Linear(32 * 4 * 4, _FEATURES), nn.LeakyReLU(0.2))
        self.real = nn.Linear(_FEATURES, 1)
        self.kinds = nn.Embedding(CLASSES, _FEATURES)

    def forward(self, images: tuple[Tensor, ...], labels: Tensor) -> Tensor:
        """Some images for each label, each (n, 1, 28, 28) -> log-odds of real, (n, images)."""
        # An axis of their own: in the batch, two images of one example would pass for two examples.
        features = self.features(torch.stack([self.seen(image) for image in images], dim=1))
        fits = (features * self.kinds(labels).unsqueeze(1)).sum(2) / 2.0
        odds: Tensor = self.real(features).squeeze(2) + fits
        return odds


class Gan(nn.Module):
    """Both: 263,777 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.discriminator = Discriminator()
        self.generator = Generator()

    def forward(self, images: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        """Log-odds of real for the image and for one that is drawn, shape (n, 2).

        No gradient reaches the generator but zero, which hooks for gradients of single examples
        can take for one.
        """
        drawn = self.generator(noise, labels)
        given = drawn.detach() + 0.0 * drawn
        odds: Tensor = self.discriminator((images, given), labels)
        return odds
