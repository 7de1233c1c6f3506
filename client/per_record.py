"""Which way a site gets clipped gradients of single records: book-keeping, or Opacus' hooks.

Opacus is the reference. Book-keeping (`client.book_keeping`) takes its place where it knows every
layer, and only after both have given the same sum for made-up records: a model can use its
parameters in ways that no hook sees. The choice is a function of the model and of shapes, so that
a seeded run is the same everywhere and a choice tells nothing of a record.
"""

import copy
import logging
import math
from typing import Protocol

import torch
from opacus import GradSampleModule
from torch import Tensor, nn

from client.book_keeping import BookKeeping
from client.dp_optimizer import RecordOptimizer
from client.layout import as_usual, channels_last, convolves
from client.losses import Losses
from shared.errors import PrivacyError
from shared.norms import row_norms
from shared.parameters import trainable
from shared.per_example import backward
from shared.spans import span
from shared.task import Examples

_LOGGER = logging.getLogger("murmura.client")
_MADE_UP = 3  # records
_AGREEMENT = 1e-4  # of the reference's largest number; rounding stays below 1e-5


class PerRecord(Protocol):
    """Adds clipped gradients of records to what an optimizer has summed."""

    def add(self, batch: Examples, optimizer: RecordOptimizer) -> None:
        """Σ clip(gᵢ) over `batch`, at least one record. Raises PrivacyError."""


class ByHooks:
    """Opacus: a gradient of every parameter for every record.

    Args:
        model: With Opacus' hooks.
        losses: The model and a batch -> one loss per record.
    """

    def __init__(self, model: GradSampleModule, losses: Losses) -> None:
        # Guarantee: Opacus 1.6 takes the gradients of a convolution whose memory is laid out
        # channels last for shorter than they are, and so would not clip them as promised.
        self._model = model.to(memory_format=torch.contiguous_format)
        self._losses = losses

    def add(self, batch: Examples, optimizer: RecordOptimizer) -> None:
        """As `PerRecord`."""
        for weight in trainable(self._model):
            weight.grad_sample = None  # type: ignore[attr-defined]
        with span("forward"):
            losses = self._losses(self._model, as_usual(batch))
        with span("backward"):
            backward(losses)
        optimizer.accumulate(len(batch))


class ByBookKeeping:
    """One backward pass without gradients of parameters.

    Args:
        model: One that `BookKeeping` knows.
        losses: The model and a batch -> one loss per record.
        clipping_norm: C.
    """

    def __init__(self, model: nn.Module, losses: Losses, clipping_norm: float) -> None:
        self._images = convolves(model)
        if self._images:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._kept = BookKeeping(model)
        self._losses = losses
        self._clipping_norm = clipping_norm

    def add(self, batch: Examples, optimizer: RecordOptimizer) -> None:
        """As `PerRecord`."""
        optimizer.add(self.sums(batch))

    def sums(self, batch: Examples) -> list[Tensor]:
        """Σ clip(gᵢ) of each parameter."""
        laid = channels_last(batch) if self._images else batch
        return self._kept.clipped_sums(
            lambda model: self._losses(model, laid), len(batch), self._clipping_norm
        )


def chosen(model: nn.Module, losses: Losses, batch: Examples, clipping_norm: float) -> PerRecord:
    """The way for this model; made anew for each model that is built.

    Args:
        model: Gets hooks of the way that is chosen.
        losses: The model and a batch -> one loss per record.
        batch: Of the shapes and types to come; no value of it is read.
        clipping_norm: C.

    Raises:
        NotImplementedError: Opacus does not know one of the layers.
        PrivacyError: the model has no gradient per record.
    """
    if kept_exactly(model, losses, batch):
        return ByBookKeeping(model, losses, clipping_norm)
    _LOGGER.info("gradients of single records by Opacus' hooks: the model has other layers too")
    return ByHooks(GradSampleModule(model, loss_reduction="sum"), losses)


def kept_exactly(model: nn.Module, losses: Losses, batch: Examples) -> bool:
    """Whether book-keeping gives what Opacus' hooks give; arguments as of `chosen`.

    Where a number lies at a kink of an activation, to the last bit, the two may go to different
    sides of it: both are right, and their sums differ. A second and a third set of records lie
    elsewhere.
    """
    if not BookKeeping.known(model):
        return False
    if _agree(model, losses, made_up(batch)):
        return True
    # Guarantee: a way that is wrong is wrong for nearly all records, so two sets have to agree.
    return all(_agree(model, losses, made_up(batch, again)) for again in (1, 2))


def _agree(model: nn.Module, losses: Losses, batch: Examples) -> bool:
    """Whether both give the same sum of gradients, all of them clipped to the same norm."""
    device = batch.targets.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)  # of dropout
        plain = GradSampleModule(copy.deepcopy(model), loss_reduction="sum")
        plain.to(memory_format=torch.contiguous_format)
        backward(losses(plain, as_usual(batch)))
        each = [_checked(weight, len(batch)) for weight in trainable(plain)]
        norms = torch.stack([row_norms(gradient) for gradient in each]).norm(dim=0)
        smallest = float(norms.min())
        if not 0.0 < smallest < float("inf"):
            return False
        torch.manual_seed(0)
        try:
            sums = ByBookKeeping(copy.deepcopy(model), losses, smallest).sums(batch)
        except PrivacyError:
            return False
    scales = (smallest / (norms + 1e-6)).to(each[0])
    return all(
        _near(a, torch.tensordot(scales, b, dims=1)) for a, b in zip(sums, each, strict=True)
    )


def _checked(weight: nn.Parameter, records: int) -> Tensor:
    gradient: object = weight.grad_sample  # type: ignore[attr-defined]
    if not isinstance(gradient, Tensor) or len(gradient) != records:
        raise PrivacyError(
            "expected one gradient per example for every trainable parameter, got something else "
            f"for one of shape {tuple(weight.shape)}"
        )
    return gradient


def _near(found: Tensor, reference: Tensor) -> bool:
    largest = float(reference.abs().max())
    return bool((found - reference).abs().max() <= _AGREEMENT * largest)


def made_up(batch: Examples, which: int = 0) -> Examples:
    """Records of the shapes and types of `batch`, the same for each batch; others by `which`."""

    def made(tensor: Tensor) -> Tensor:
        shape = (_MADE_UP, *tensor.shape[1:])
        places = torch.arange(math.prod(shape), device=tensor.device).view(shape)
        # Classes and tokens: 0 and 1 are some of any.
        numbers = (
            torch.sin(0.7 * places + which) if tensor.is_floating_point() else (places // 3) % 2
        )
        return numbers.to(tensor.dtype)

    return Examples(tuple(made(tensor) for tensor in batch.inputs), made(batch.targets))
