"""What a DP-SGD step costs over the same step without privacy, on one CPU thread.

    python benchmarks/dp_step.py --repeats 15

One batch of random images: forward, backward and a plain SGD step; the same with clipped gradients
by book-keeping, without and with noise of the operating system's keystream as in deployment; with
the site's optimizer over Opacus' hooks, noise included; and with Opacus' ghost clipping, without
noise. One after another in each repeat, so that what else the machine does meets all of them.
Seconds are of the thread's processor time, which others' work changes less than the clock's.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping

import torch
from opacus import GradSampleModule
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import Tensor, nn

from client.dp_optimizer import RecordOptimizer
from client.layout import channels_last, convolves
from client.per_record import ByBookKeeping, ByHooks, PerRecord
from client.pooling import pool_first
from shared.config import RunConfig
from shared.dp.mechanisms import RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import OperatingSystemRandomness
from shared.task import Examples
from shared.tasks.image_classification import cnn

CLIP, LEARNING_RATE = 1.0, 0.05


def mlp() -> nn.Module:
    """784-64-10: 50,890 parameters."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


CASES: tuple[tuple[str, Callable[[], nn.Module], int], ...] = (
    ("cnn", cnn, 10),
    ("cnn", cnn, 64),
    ("cnn", cnn, 256),
    ("mlp", mlp, 10),
    ("mlp", mlp, 256),
)


def losses(model: nn.Module, batch: Examples) -> Tensor:
    """One loss per record."""
    return nn.functional.cross_entropy(model(*batch.inputs), batch.targets, reduction="none")


def mechanism_of(batch: int) -> RecordPrivacy:
    """Of a run whose expected batch is `batch`."""
    config = RunConfig.from_run_config({
        "privacy.unit": "record", "privacy.clipping_norm": CLIP, "privacy.noise_multiplier": 1.0,
        "privacy.epsilon_budget": 1000.0, "population.size": 4,
        "population.examples_per_client": 2 * batch, "training.steps": 1,
        "training.sample_rate": 0.5,
    })  # fmt: skip
    mechanism = PrivacyPlan.from_config(config).mechanism
    if not isinstance(mechanism, RecordPrivacy):
        raise TypeError(type(mechanism).__name__)
    return mechanism


def plain_step(model: nn.Module, batch: Examples) -> Callable[[], None]:
    """Without privacy, images laid out as they are fastest."""
    if convolves(model):
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        batch = channels_last(batch)
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        losses(model, batch).mean().backward()
        optimizer.step()

    return step


def private_step(
    model: nn.Module, way: PerRecord, batch: Examples, *, noisy: bool
) -> Callable[[], None]:
    """As a site takes it."""
    plain = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
    optimizer = RecordOptimizer(plain, mechanism_of(len(batch)))
    randomness = OperatingSystemRandomness()

    def step() -> None:
        way.add(batch, optimizer)
        if noisy:
            optimizer.noisy_step(randomness.stream("record_noise"))
            return
        for weight in optimizer.params:
            weight.grad, weight.summed_grad = weight.summed_grad / len(batch), None
        plain.step()

    return step


def ghost_step(model: nn.Module, batch: Examples) -> Callable[[], None]:
    """Opacus' second backward pass with weights, without noise; no other clips as it does."""
    wrapped = GradSampleModuleFastGradientClipping(
        model, max_grad_norm=CLIP, use_ghost_clipping=True, loss_reduction="mean"
    )
    optimizer = RecordOptimizer(
        torch.optim.SGD(model.parameters(), lr=LEARNING_RATE), mechanism_of(len(batch))
    )
    criterion = DPLossFastGradientClipping(
        wrapped, optimizer, nn.CrossEntropyLoss(reduction="mean"), loss_reduction="mean"
    )

    def step() -> None:
        optimizer.original_optimizer.zero_grad(set_to_none=True)
        criterion(wrapped(*batch.inputs), batch.targets).backward()
        optimizer.original_optimizer.step()

    return step


def ways(build: Callable[[], nn.Module], batch: Examples) -> Mapping[str, Callable[[], None]]:
    """Each with a model of its own."""
    plain, ours, kept, bare, hooked, ghost = (build() for _ in range(6))
    for model in (ours, kept, bare, hooked):
        pool_first(model)
    return {
        "plain": plain_step(plain, batch),
        "plain, pooled first": plain_step(ours, batch),
        "book-keeping": private_step(
            bare, ByBookKeeping(bare, losses, CLIP), batch, noisy=False
        ),
        "book-keeping and noise": private_step(
            kept, ByBookKeeping(kept, losses, CLIP), batch, noisy=True
        ),
        "Opacus' hooks and noise": private_step(
            hooked, ByHooks(GradSampleModule(hooked, loss_reduction="sum"), losses), batch,
            noisy=True,
        ),
        "Opacus' ghost": ghost_step(ghost, batch),
    }  # fmt: skip


def main() -> None:
    """One JSON line for each model and batch: medians in milliseconds, and over the plain step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name, build, size in CASES:
        batch = Examples((torch.rand(size, 1, 28, 28),), torch.randint(0, 10, (size,)))
        steps = ways(build, batch)
        spent: dict[str, list[float]] = {way: [] for way in steps}
        for repeat in range(given.repeats + 2):
            for way, step in steps.items():
                started = time.thread_time()
                step()
                if repeat > 1:  # two to warm up
                    spent[way].append(time.thread_time() - started)
        medians = {way: statistics.median(seconds) for way, seconds in spent.items()}
        print(json.dumps({
            "model": name, "batch": size, "repeats": given.repeats,
            "medians_ms": {way: round(1e3 * s, 2) for way, s in medians.items()},
            "over_plain": {way: round(s / medians["plain"], 2) for way, s in medians.items()},
        }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
