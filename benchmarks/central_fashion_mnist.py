"""DP-SGD on all of Fashion-MNIST at one site: what the client's trainer reaches at a given epsilon.

    PYTHONPATH=. python benchmarks/central_fashion_mnist.py --epsilon 2.7 --batch-size 2048 \
        --epochs 40 --learning-rate 4 --momentum 0 --activation tanh

The trainer, noise, sampling and accountant are those of a federated run; only the federation is
missing. `--steps` cuts a run short; the noise is still calibrated to the steps that are run. With
`--reports` above 1 the training is cut into as many rounds, each with a new optimizer, and the
accuracy is printed after each. The last line is JSON.
"""

import argparse
import json
import math
import time
from collections.abc import Callable, Mapping
from typing import ClassVar

import dp_accounting
import torch
from dp_accounting import dp_event as dp
from torch import nn

from client.trainer import LocalTraining
from shared.config import RunConfig
from shared.device import choose_device
from shared.dp.accounting import epsilon_of
from shared.dp.mechanisms import RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import randomness_for
from shared.model_check import check_model
from shared.parameters import FlatVector, dimension, flatten, load
from shared.task import Examples, Site, TaskSettings
from shared.tasks.fashion_mnist import FashionMnist
from shared.tasks.image_classification import cnn, small_cnn

_ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU}


def shaped(base: Callable[[], nn.Module], activation: str, groups: int) -> nn.Module:
    """`base` with another activation, and group norm after each convolution if `groups` > 0."""
    layers: list[nn.Module] = []
    for layer in base().children():
        layers.append(_ACTIVATIONS[activation]() if isinstance(layer, nn.Tanh | nn.ReLU) else layer)
        if groups and isinstance(layer, nn.Conv2d):
            layers.append(nn.GroupNorm(groups, layer.out_channels))
    return nn.Sequential(*layers)


class Shaped(FashionMnist):
    """Fashion-MNIST with a model made by `shaped`."""

    models: ClassVar[Mapping[str, Callable[[], nn.Module]]] = {}


def calibrated(epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    """Smallest noise multiplier, rounded up to 10⁻³, whose claim stays within `epsilon`."""
    low, high = 0.3, 0.6
    while _epsilon(high, delta, sample_rate, steps) > epsilon:
        low, high = high, 2.0 * high
    while high - low > 1e-3:
        middle = (low + high) / 2.0
        if _epsilon(middle, delta, sample_rate, steps) > epsilon:
            low = middle
        else:
            high = middle
    return math.ceil(high * 1e3) / 1e3


def _epsilon(noise_multiplier: float, delta: float, sample_rate: float, steps: int) -> float:
    step = dp.PoissonSampledDpEvent(sample_rate, dp.GaussianDpEvent(noise_multiplier))
    accountant = dp_accounting.pld.PLDAccountant(value_discretization_interval=1e-3)
    accountant.compose(step, steps)
    return float(accountant.get_epsilon(delta))


@torch.no_grad()
def accuracy(task: FashionMnist, parameters: FlatVector, device: torch.device) -> float:
    """Share of the public test images whose label is found."""
    model = task.build_model().to(device).eval()
    load(model, parameters)
    right = 0.0
    for part in task.evaluation_data().chunks(2000):
        moved = part.to(device)
        right += float(task.metrics(model(*moved.inputs), moved.targets)["accuracy"].sum())
    return right / len(task.evaluation_data())


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epsilon", type=float, default=2.7)
    parser.add_argument("--delta", type=float, default=1e-5)
    parser.add_argument("--model", choices=["small_cnn", "cnn"], default="small_cnn")
    parser.add_argument("--activation", choices=sorted(_ACTIVATIONS), default="tanh")
    parser.add_argument("--groups", type=int, default=0, help="of group norm; 0 = none")
    parser.add_argument("--batch-size", type=int, default=2048, help="expected; divides the sum")
    parser.add_argument("--epochs", type=float, default=40.0)
    parser.add_argument("--steps", type=int, default=0, help="instead of --epochs")
    parser.add_argument("--reports", type=int, default=1)
    parser.add_argument("--learning-rate", type=float, default=4.0)
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--optimizer", choices=["sgd", "adam"], default="sgd")
    parser.add_argument("--clipping-norm", type=float, default=0.1)
    parser.add_argument("--physical-batch", type=int, default=512)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def configuration(options: argparse.Namespace, count: int) -> RunConfig:
    """One site of `count` records, `--reports` rounds, noise calibrated to all steps of them."""
    rate = min(1.0, options.batch_size / count)
    wanted = options.steps or math.ceil(options.epochs * count / options.batch_size)
    steps = math.ceil(wanted / options.reports)
    noise = calibrated(options.epsilon, options.delta, rate, steps * options.reports)
    return RunConfig.from_run_config(
        {
            "rounds": options.reports,
            "seed": options.seed,
            "population.size": 1,
            "training.steps": steps,
            "training.batch_size": options.batch_size,
            "training.sample_rate": rate,
            "training.optimizer": options.optimizer,
            "training.learning_rate": options.learning_rate,
            "training.momentum": options.momentum,
            "training.max_physical_batch": options.physical_batch,
            "privacy.clipping_norm": options.clipping_norm,
            "privacy.noise_multiplier": noise,
            "privacy.delta": options.delta,
            "runtime.device": options.device,
            "runtime.torch_threads": options.threads,
        }
    )


def train(task: FashionMnist, config: RunConfig, data: Examples) -> tuple[FlatVector, float]:
    """Final parameters and seconds of training; prints a line a round."""
    plan = PrivacyPlan.from_config(config)
    device = choose_device(config.runtime.device)
    trainer = LocalTraining(config, task, plan, device)
    torch.manual_seed(int(config.seed))
    model = task.build_model()
    check_model(model, task.evaluation_data(), task.losses, per_record=True)
    print(f"{dimension(model)} parameters, {len(data)} records, {plan.mechanism}, {device}")
    parameters, seconds = flatten(model), 0.0
    data = data.to(device)
    for round_number in range(1, config.rounds + 1):
        started = time.monotonic()
        parameters = parameters + trainer.update(
            parameters,
            data,
            randomness=randomness_for(config.seed),
            round_number=round_number,
            attempt=1,
            client_id="central",
        )
        seconds += time.monotonic() - started
        measured = accuracy(task, parameters, device)
        print(f"round {round_number}/{config.rounds}: {measured:.4f}, {seconds:.1f} s", flush=True)
    return parameters, seconds


def main() -> None:
    """Train, measure, print."""
    options = arguments()
    base = {"small_cnn": small_cnn, "cnn": cnn}[options.model]
    Shaped.models = {"shaped": lambda: shaped(base, options.activation, options.groups)}
    task = Shaped(TaskSettings())
    data = task.site_data(Site(index=0, partition=None))
    config = configuration(options, len(data))
    mechanism = PrivacyPlan.from_config(config).mechanism
    event = dp.SelfComposedDpEvent(mechanism.round_event(), config.rounds)
    claim = epsilon_of(event, options.delta, RecordPrivacy.adjacency)
    parameters, seconds = train(task, config, data)
    result = {
        "accuracy": accuracy(task, parameters, choose_device(options.device)),
        "epsilon": claim.epsilon,
        "delta": options.delta,
        "noise_multiplier": config.privacy.noise_multiplier,
        "steps": config.training.steps * config.rounds,
        "seconds": round(seconds, 1),
        "records": len(data),
        **vars(options),
    }
    result["target_epsilon"] = options.epsilon
    print(json.dumps(result | {"epsilon": claim.epsilon}, sort_keys=True))


if __name__ == "__main__":
    main()
