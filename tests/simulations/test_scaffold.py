"""Control variates are SCAFFOLD's, number for number, and undo the drift of unlike clients."""

from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import Context, Message
from safetensors.torch import load_file
from torch import Tensor, nn

from client.app import app
from server.preparation import prepare
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.messages import TrainReply
from shared.parameters import flatten
from shared.task import Examples, Site, TaskSettings
from simulations.federation import simulate

TASK = "tests.simulations.test_scaffold:Bowls"
STEPS, RATE, SITES = 10, 0.2, 4
RUN: dict[str, Scalar] = {
    "task": TASK, "rounds": 30, "seed": 3, "population.size": SITES, "runtime.device": "cpu",
    "privacy.unit": "none", "privacy.delta": 1e-3, "privacy.epsilon_budget": 1e9,
    "audit.canaries": 0, "training.batch_size": 10, "training.learning_rate": RATE,
    "training.steps": STEPS, "server.momentum": 0.0, "output.run_id": "run",
    "output.tensorboard": False,
}  # fmt: skip
SCAFFOLD: dict[str, Scalar] = {"training.algorithm": "scaffold"}
Numbers = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


class Bowls:
    """Site i has a bowl of its own: ½ Σ a·(w - b)², steep where others are flat."""

    def __init__(self, settings: TaskSettings) -> None:
        del settings

    def build_model(self) -> nn.Module:
        """Two parameters: the point."""
        return nn.Linear(1, 2, bias=False)

    def site_data(self, site: Site) -> Examples:
        """One record: steepness and centre."""
        steep, centre = bowl(site.index)
        row = np.concatenate([steep, centre]).astype(np.float32)
        return Examples((torch.ones(1, 1),), torch.from_numpy(row)[None])

    def evaluation_data(self) -> Examples:
        """Two bowls."""
        return Examples((torch.ones(2, 1),), torch.ones(2, 4))

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """How high in the bowl."""
        steep, centre = targets[:, :2], targets[:, 2:]
        return 0.5 * (steep * (outputs - centre).square()).sum(1)

    def metrics(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """None."""
        del outputs, targets
        return {}


def bowl(index: int) -> tuple[Numbers, Numbers]:
    """Steepness and centre."""
    steep = np.array([[1.0, 0.1], [0.1, 1.0], [0.5, 0.5], [0.2, 0.9]])[index]
    return steep, np.array([[3.0, 0.0], [-1.0, 2.0], [0.0, -4.0], [1.0, 1.0]])[index]


def optimum() -> Numbers:
    """Of the mean of all bowls."""
    steep, centre = (np.array(part) for part in zip(*map(bowl, range(SITES)), strict=True))
    return np.asarray((steep * centre).sum(0) / steep.sum(0))


def by_hand(start: Numbers, cohorts: list[list[int]], rate: float) -> Numbers:
    """Karimireddy et al. 2020, algorithm 1, option II; the mean of a cohort over q·N."""
    x, c, own = start.copy(), np.zeros(2), np.zeros((SITES, 2))
    for cohort in cohorts:
        moved, shifted = np.zeros(2), np.zeros(2)
        for index in cohort:
            (steep, centre), y = bowl(index), x.copy()
            for _ in range(STEPS):
                y -= RATE * (steep * (y - centre) - own[index] + c)
            fresh = own[index] - c + (x - y) / (STEPS * RATE)
            moved, shifted = moved + y - x, shifted + fresh - own[index]
            own[index] = fresh
        x = x + moved / (rate * SITES)
        c = c + shifted / SITES
    return x


class Noting:
    """The clients' app, which notes who trains in which round, and what it sends."""

    def __init__(self) -> None:
        self.cohorts: dict[int, list[int]] = {}
        self.sent: list[TrainReply] = []

    def __call__(self, message: Message, context: Context) -> Message:
        """As the app answers."""
        reply = app(message, context)
        if message.metadata.message_type == "train":
            sent = TrainReply.from_record(reply.content)
            self.sent.append(sent)
            index = int(str(context.node_config["partition-id"]))
            self.cohorts.setdefault(sent.round_number, []).append(index)
        return reply


def model_of(run: Path) -> Numbers:
    """The point that a run came to."""
    return np.asarray(load_file(run / "model.safetensors")["weight"].numpy().ravel(), np.float64)


@pytest.mark.parametrize("rate", [1.0, 0.5])
def test_a_run_is_the_algorithm_done_by_hand(tmp_path: Path, rate: float) -> None:
    """With all clients, and with some that come seldom and kept their variate meanwhile."""
    config = RUN | SCAFFOLD | {"cohort.sample_rate": rate, "output.dir": str(tmp_path)}
    known = RunConfig.from_run_config(config)
    start = flatten(prepare(known, PrivacyPlan.from_config(known)).model).astype(np.float64)
    noting = Noting()
    found = model_of(simulate(config, clients=noting))
    cohorts = [noting.cohorts.get(number, []) for number in range(1, 31)]
    assert all(len(cohort) == SITES for cohort in cohorts) == (rate == 1.0)
    assert found == pytest.approx(by_hand(start, cohorts, rate), abs=1e-4)


@pytest.mark.slow
def test_unlike_clients_find_their_common_optimum(tmp_path: Path) -> None:
    """Averaging alone stops where the drifts of many local steps balance, far from it."""
    config = RUN | {"output.dir": str(tmp_path), "rounds": 60}
    plain = np.linalg.norm(model_of(simulate(config)) - optimum())
    found = simulate(config | SCAFFOLD | {"output.run_id": "scaffold"})
    assert np.linalg.norm(model_of(found) - optimum()) < 0.01
    assert plain > 0.3


def test_movement_and_control_are_under_one_clip(tmp_path: Path) -> None:
    """At client level the vector that leaves has norm C at most, both halves together."""
    private: dict[str, Scalar] = {
        "privacy.unit": "client", "privacy.clipping_norm": 0.5, "rounds": 3,
        "output.dir": str(tmp_path),
    }  # fmt: skip
    noting = Noting()
    simulate(RUN | SCAFFOLD | private, clients=noting)
    norms = [float(np.linalg.norm(reply.update)) for reply in noting.sent]
    assert [reply.update.shape for reply in noting.sent] == [(4,)] * 12
    assert max(norms) <= 0.5 + 1e-6
    assert min(norms[:4]) == pytest.approx(0.5, abs=1e-6)
    halves = [np.linalg.norm(reply.update[2:]) for reply in noting.sent]
    assert min(halves[:4]) > 0.1


def test_at_record_level_the_second_half_follows_from_the_first(tmp_path: Path) -> None:
    """From it and from what the server sent: nothing more is released than the noisy steps."""
    noting = Noting()
    config = RUN | SCAFFOLD | {"privacy.unit": "record", "rounds": 1, "output.dir": str(tmp_path)}
    simulate(config, clients=noting)
    for reply in noting.sent:
        assert reply.update[2:].tobytes() == (-reply.update[:2]).tobytes()
