"""A task of two parameters whose sites hold points of their own: a whole run takes a moment."""

import torch

from shared.config import Scalar
from shared.task import Examples, Site
from tests.server.toy import Toy

TASK = "tests.simulations.toy:Line"
SETTINGS: dict[str, Scalar] = {
    "task": TASK,
    "privacy.noise": "distributed",
    "privacy.epsilon_budget": 1e6,
    "privacy.delta": 1e-3,
    "audit.canaries": 0,
}


class Line(Toy):
    """Points near a line, others at each site."""

    def site_data(self, site: Site) -> Examples:
        """Eight of them."""
        x = torch.linspace(-1.0, 1.0, 8).reshape(-1, 1) * (1 + site.index)
        return Examples((x,), 2.0 * x + 0.1 * site.index)
