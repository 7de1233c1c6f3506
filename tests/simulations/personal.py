"""Sites that name the same classes differently: one model for all cannot serve them."""

import torch
from torch import Tensor, nn

from shared.config import Scalar
from shared.task import Examples, Site, TaskSettings

TASK = "tests.simulations.personal:Permuted"
FEATURES, CLASSES, SITES, RECORDS = 6, 3, 6, 60
RUN: dict[str, Scalar] = {
    "task": TASK, "rounds": 4, "seed": 3, "population.size": SITES, "runtime.device": "cpu",
    "privacy.epsilon_budget": 1e6, "privacy.delta": 1e-3, "audit.canaries": 0,
    "training.batch_size": 30, "training.learning_rate": 0.5, "training.steps": 3,
    "output.run_id": "run", "output.tensorboard": False,
}  # fmt: skip


class Permuted:
    """Three classes of clouds; site i calls class c (c + i) mod 3."""

    def __init__(self, settings: TaskSettings) -> None:
        del settings

    def build_model(self) -> nn.Module:
        """A body that all can share, and a head."""
        return nn.Sequential(nn.Linear(FEATURES, 8), nn.Tanh(), nn.Linear(8, CLASSES))

    def site_data(self, site: Site) -> Examples:
        """60 records."""
        return self.named(site.index, RECORDS, seed=site.index)

    def named(self, index: int, count: int, seed: int) -> Examples:
        """Records as site `index` names them."""
        generator = torch.Generator().manual_seed(seed)
        classes = torch.randint(CLASSES, (count,), generator=generator)
        clouds = 2.0 * torch.eye(FEATURES)[classes]
        inputs = clouds + 0.5 * torch.randn(count, FEATURES, generator=generator)
        return Examples((inputs,), (classes + index) % CLASSES)

    def evaluation_data(self) -> Examples:
        """As site 0 names them."""
        return self.named(0, 90, seed=1000)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy."""
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Accuracy."""
        return {"accuracy": (outputs.argmax(1) == targets).float()}
