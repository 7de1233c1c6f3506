"""pfl-research with its PyTorch model and central Gaussian noise: pfl_research.py WORK THREADS."""

import sys

import numpy as np
import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics
from pfl.model.pytorch import PyTorchModel
from pfl.privacy.gaussian_mechanism import GaussianMechanism
from pfl.privacy.privacy_mechanism import CentrallyAppliedPrivacyMechanism
from torch import Tensor, nn
from turns import Turns
from works import CLIP, LEARNING_RATE, NOISE, WORKS, images


class Loss(nn.Module):
    """A model with the two methods that pfl asks for."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def loss(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """Mean cross entropy."""
        return nn.functional.cross_entropy(self.model(pixels), labels)

    def metrics(self, pixels: Tensor, labels: Tensor) -> dict[str, object]:
        """None: nothing is measured."""
        del pixels, labels
        return {}


class Round(TrainingProcessCallback):
    """One turn for each central iteration."""

    def __init__(self, turns: Turns, cohort: int) -> None:
        self._turns = turns
        self._cohort = cohort

    def after_central_iteration(
        self, aggregate_metrics: Metrics, model: object, *, central_iteration: int
    ) -> tuple[bool, Metrics]:
        """The round is over."""
        del aggregate_metrics, model, central_iteration
        self._turns.next(self._cohort)
        return False, Metrics()


def main() -> None:
    """Rounds until told to stop."""
    work = WORKS[sys.argv[1]]
    torch.set_num_threads(int(sys.argv[2]))
    pixels, labels = images(work)
    users = {user: (pixels[user], labels[user]) for user in range(work.clients)}
    sampler = get_user_sampler("minimize_reuse", list(users))
    data = FederatedDataset(lambda user: Dataset(raw_data=users[user]), sampler)
    module = Loss(work.model())
    model = PyTorchModel(module, torch.optim.SGD, torch.optim.SGD(module.parameters(), lr=1.0))
    noise = GaussianMechanism(CLIP, NOISE)
    backend = SimulatedBackend(
        training_data=data, val_data=data, postprocessors=[CentrallyAppliedPrivacyMechanism(noise)]
    )
    params = NNAlgorithmParams(
        central_num_iterations=10**6, evaluation_frequency=10**9, train_cohort_size=work.cohort,
        val_cohort_size=0,
    )  # fmt: skip
    train = NNTrainHyperParams(
        local_num_epochs=1, local_learning_rate=LEARNING_RATE, local_batch_size=work.batch
    )
    np.random.seed(0)  # noqa: NPY002 - pfl's sampler draws from it
    FederatedAveraging().run(
        params, backend, model, train, NNEvalHyperParams(local_batch_size=None),
        [Round(Turns(), work.cohort)], send_metrics_to_platform=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
