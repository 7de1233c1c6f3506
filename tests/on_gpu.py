"""What holds on the CPU holds on a GPU. `make gpu` collects it: it needs one, and CI has none."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from opacus import GradSampleModule
from torch import Tensor, nn

from client.per_record import ByBookKeeping
from shared.config import RunConfig, Scalar
from shared.parameters import trainable
from shared.per_example import backward
from shared.task import Examples
from shared.tasks.image_classification import cnn, small_cnn
from simulations.federation import simulate
from tests.simulations.test_cohort_engine import RUNS, parameters

DEVICE = torch.device("cuda:0")
CLIP = 0.5


def played(folder: Path, device: str, engine: str, raw: Mapping[str, Scalar]) -> np.ndarray:
    """The model of a run on this device, flat."""
    keys = {
        "runtime.device": device, "runtime.engine": engine,
        "output.dir": str(folder), "output.run_id": f"{device}-{engine}",
    }  # fmt: skip
    return parameters(simulate({**raw, **keys}))


@pytest.mark.parametrize("engine", ["messages", "threads", "stacked"])
@pytest.mark.parametrize("name", RUNS)
def test_a_run_gives_the_model_of_the_cpu(name: str, engine: str, tmp_path: Path) -> None:
    """But for rounding; noise and draws are the same, so a difference is an error."""
    here = played(tmp_path, "cpu", "messages", RUNS[name])
    there = played(tmp_path, "cuda", engine, RUNS[name])
    assert np.abs(here - there).max() <= 2e-4 * np.abs(here).max()


def _per_record(weight: nn.Parameter) -> Tensor:
    found: Tensor = weight.grad_sample  # type: ignore[attr-defined]
    return found


def losses(model: nn.Module, batch: Examples) -> Tensor:
    """Cross entropy of each record."""
    return nn.functional.cross_entropy(model(*batch.inputs), batch.targets, reduction="none")


@pytest.mark.parametrize("build", [cnn, small_cnn])
def test_no_record_passes_the_clip(build: type[nn.Module]) -> None:
    """In double precision: half of the mantissa (TF32) would let a norm pass by a thousandth."""
    torch.manual_seed(3)
    model = build().to(DEVICE).train()
    batch = Examples((torch.randn(32, 1, 28, 28),), torch.arange(32) % 10).to(DEVICE)
    kept = ByBookKeeping(model, losses, CLIP)
    exact = build().double()
    exact.load_state_dict({name: value.double() for name, value in model.state_dict().items()})
    for row in range(len(batch)):
        one = batch.select(torch.tensor([row], device=DEVICE))
        found = torch.cat([part.double().flatten() for part in kept.sums(one)]).cpu()
        assert float(found.norm()) <= CLIP * (1 + 1e-5)
        double = Examples((one.inputs[0].double().cpu(),), one.targets.cpu())
        gradients = torch.autograd.grad(losses(exact, double).sum(), list(exact.parameters()))
        true = torch.cat([part.flatten() for part in gradients])
        true *= min(1.0, CLIP / float(true.norm()))
        assert float((found - true).norm()) <= 1e-4 * CLIP


@pytest.mark.parametrize("build", [cnn, small_cnn])
def test_book_keeping_is_opacus_sum(build: type[nn.Module]) -> None:
    """To a hundred thousandth of the largest number."""
    torch.manual_seed(4)
    model = build().to(DEVICE).train()
    batch = Examples((torch.randn(64, 1, 28, 28),), torch.arange(64) % 10).to(DEVICE)
    hooked = GradSampleModule(build().to(DEVICE), loss_reduction="sum")
    hooked._module.load_state_dict(model.state_dict())
    backward(losses(hooked, batch))
    each = [_per_record(weight) for weight in trainable(hooked)]
    norms = torch.stack([part.flatten(1).norm(dim=1) for part in each]).norm(dim=0)
    scales = (CLIP / (norms + 1e-6)).clamp(max=1.0)
    for found, parts in zip(ByBookKeeping(model, losses, CLIP).sums(batch), each, strict=True):
        reference = torch.tensordot(scales, parts, dims=1)
        assert float((found - reference).abs().max()) <= 1e-5 * float(reference.abs().max())


def test_the_default_device_is_the_gpu() -> None:
    """`auto` finds it."""
    from shared.device import choose_device

    assert choose_device(RunConfig().runtime.device).type == "cuda"
