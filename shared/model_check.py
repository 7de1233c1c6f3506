"""Whether a model may be trained privately, found out by a real backward pass before the run.

Record-level clipping bounds one example's gradient, so a layer in which one example changes
another's gradient voids the guarantee. Opacus' validator knows the layers it knows; the backward
pass finds the others too.
"""

import copy
from collections.abc import Callable

import torch
from opacus import GradSampleModule
from opacus.validators import ModuleValidator
from torch import Tensor, nn

from shared.errors import ConfigurationError
from shared.per_example import backward
from shared.task import Examples

Losses = Callable[[Tensor, Tensor], Tensor]
_PROBES = 3
_TOLERANCE = 1e-3  # of the gradient's norm; float32 rounding stays below 1e-5
_REPLACEMENTS: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.modules.batchnorm._BatchNorm, "nn.GroupNorm"),  # noqa: SLF001 - the only name of the family
    (nn.LSTM, "opacus.layers.DPLSTM"),
    (nn.GRU, "opacus.layers.DPGRU"),
    (nn.RNN, "opacus.layers.DPRNN"),
    (nn.MultiheadAttention, "opacus.layers.DPMultiheadAttention"),
)


def check_model(model: nn.Module, examples: Examples, losses: Losses, *, per_record: bool) -> None:
    """Return only if `model` can be trained under the promised unit of privacy.

    Args:
        model: Not changed.
        examples: Public examples, at least one.
        losses: Outputs and targets -> one loss per example.
        per_record: Whether each example's gradient will be clipped (record level).

    Raises:
        ConfigurationError: a layer mixes examples, keeps statistics of them, or yields no gradient
            per example; names the layer, and the replacement where there is one.
    """
    _refuse_known_layers(model, per_record=per_record)
    probes = examples.select(torch.arange(min(_PROBES, len(examples))))
    if not len(probes):
        raise ConfigurationError("expected public examples to check the model with, got none")
    copied = copy.deepcopy(model).train()
    for module in copied.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):  # noqa: SLF001 - likewise
            module.eval()  # its mask would differ between the passes that are compared
    _refuse_changing_buffers(copied, probes)
    if per_record:
        _refuse_mixing(copied, probes, losses)


def _refuse_known_layers(model: nn.Module, *, per_record: bool) -> None:
    for name, module in model.named_modules():
        for kind, replacement in _REPLACEMENTS:
            mixes = kind is _REPLACEMENTS[0][0]
            if isinstance(module, kind) and (mixes or per_record):
                why = "mixes examples" if mixes else "has no gradient per example"
                raise ConfigurationError(
                    f"layer {name!r} ({type(module).__name__}) {why}; use {replacement}"
                )
    problems = ModuleValidator.validate(model, strict=False) if per_record else []
    if problems:
        raise ConfigurationError(f"Opacus cannot train this model: {problems[0]}")


@torch.no_grad()
def _refuse_changing_buffers(model: nn.Module, probes: Examples) -> None:
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model(*probes.inputs)
    for name, buffer in model.named_buffers():
        if not torch.equal(before[name], buffer):
            raise ConfigurationError(
                f"buffer {name!r} is a statistic of the examples, which no noise protects; use a "
                "layer without running statistics, such as nn.GroupNorm"
            )


def _refuse_mixing(model: nn.Module, probes: Examples, losses: Losses) -> None:
    try:
        wrapped = GradSampleModule(model, loss_reduction="sum")
    except (NotImplementedError, ValueError) as error:
        raise ConfigurationError(f"Opacus cannot train this model: {error}") from error
    together = _gradients(wrapped, probes, losses)
    for index in range(len(probes)):
        alone = _gradients(wrapped, probes.select(torch.tensor([index])), losses)
        for name, gradients in together.items():
            difference = (gradients[index] - alone[name][0]).norm()
            if not difference <= _TOLERANCE * (alone[name][0].norm() + 1e-3):
                raise ConfigurationError(
                    f"the gradient of one example for {name!r} depends on the other examples of "
                    "its batch: a layer mixes examples; compute everything per example"
                )


def _gradients(model: GradSampleModule, probes: Examples, losses: Losses) -> dict[str, Tensor]:
    for parameter in model.parameters():
        parameter.grad_sample = None
    each = losses(model(*probes.inputs), probes.targets)
    if each.shape != (len(probes),):
        raise ConfigurationError(
            f"losses must return one loss per example, shape ({len(probes)},), got "
            f"{tuple(each.shape)}"
        )
    backward(each)
    found = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if not isinstance(parameter.grad_sample, Tensor):
            raise ConfigurationError(
                f"expected a gradient per example for {name!r}, got none: the loss does not "
                "depend on it, or its layer is used in a way that Opacus does not follow"
            )
        found[name.removeprefix("_module.")] = parameter.grad_sample.detach().clone()
    return found
