"""Whether a model may be trained privately, found out by real backward passes before the run.

Record-level clipping bounds one example's gradient, so a layer in which one example changes
another's gradient voids the guarantee. Opacus' validator knows the layers it knows; the backward
passes find the others too.

Buffers. One that a forward pass changes is a statistic of private data that no noise protects. One
that stays as it is (a positional encoding) is harmless, and allowed but at record level, where
Opacus takes no layer with a buffer; a plain tensor made in `forward` does the same there.
"""

import copy
from collections.abc import Callable
from itertools import chain

import torch
from opacus import GradSampleModule
from opacus.validators import ModuleValidator
from torch import Tensor, nn

from shared.errors import ConfigurationError
from shared.per_example import backward
from shared.task import Examples

Losses = Callable[[Tensor, Tensor], Tensor]
_PROBES = 3
_SEED = 0  # of dropout in passes that are compared
_TOLERANCE = 1e-4  # of the norm of an example's gradient; float32 rounding stays below 1e-5
_REPLACEMENTS: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.modules.batchnorm._BatchNorm, "nn.GroupNorm"),  # noqa: SLF001 - the only name of the family
    (nn.LSTM, "opacus.layers.DPLSTM"),
    (nn.GRU, "opacus.layers.DPGRU"),
    (nn.RNN, "opacus.layers.DPRNN"),
    (nn.MultiheadAttention, "opacus.layers.DPMultiheadAttention"),
)
_Gradients = dict[str, Tensor]  # of each parameter, first axis the examples


def check_model(model: nn.Module, examples: Examples, losses: Losses, *, per_record: bool) -> None:
    """Return only if `model` can be trained under the promised unit of privacy.

    Args:
        model: Not changed; neither is torch's global generator.
        examples: Public examples, at least two, of which the first three are used.
        losses: Outputs and targets -> one loss per example.
        per_record: Whether each example's gradient will be clipped (record level).

    Raises:
        ConfigurationError: a layer mixes examples, keeps statistics of them, or yields no gradient
            per example; names the layer, and the replacement where there is one.
    """
    _refuse_known_layers(model, per_record=per_record)
    probes = examples.select(torch.arange(min(_PROBES, len(examples))))
    if len(probes) < 2:
        raise ConfigurationError(
            f"expected at least 2 public examples to check the model with, got {len(probes)}"
        )
    copied = copy.deepcopy(model).train()
    copied.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    with torch.random.fork_rng(devices=[]):
        _refuse_changing_buffers(copied, probes)
        if per_record:
            _refuse_what_opacus_does_not_know(copied)
            _Independence(copied, losses).check(probes)


def check_fixed_parts(build_model: Callable[[], nn.Module]) -> None:
    """Return only if what is not trained is the same on every node.

    Frozen parameters and buffers do not travel; every node builds them, so they must not come from
    a random generator.

    Args:
        build_model: Called twice where the model has such parts, and once where it has none;
            torch's global generator stays as it is.

    Raises:
        ConfigurationError: names the frozen parameter or buffer that differs between two builds.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        first = _fixed_parts(build_model())
        if not first:
            return
        torch.manual_seed(_SEED + 1)
        second = _fixed_parts(build_model())
    for name, tensor in first.items():
        if name not in second or not torch.equal(tensor, second[name]):
            raise ConfigurationError(
                f"{name!r} is not trained and must be the same in every model that is built, got "
                "random numbers; load it from a file, or set it to constants"
            )


def _fixed_parts(model: nn.Module) -> dict[str, Tensor]:
    named = chain(model.named_parameters(), model.named_buffers())
    return {name: tensor.detach() for name, tensor in named if not tensor.requires_grad}


def _refuse_known_layers(model: nn.Module, *, per_record: bool) -> None:
    for name, module in model.named_modules():
        for kind, replacement in _REPLACEMENTS:
            mixes = kind is _REPLACEMENTS[0][0]
            if isinstance(module, kind) and (mixes or per_record):
                why = "mixes examples" if mixes else "has no gradient per example"
                raise ConfigurationError(
                    f"layer {name!r} ({type(module).__name__}) {why}; use {replacement}"
                )


def _refuse_what_opacus_does_not_know(model: nn.Module) -> None:
    if problems := ModuleValidator.validate(model, strict=False):
        raise ConfigurationError(f"Opacus cannot train this model: {problems[0]}")
    for name, _ in model.named_buffers():
        raise ConfigurationError(
            f"buffer {name!r} is not possible with gradients per example; compute it in forward"
        )


@torch.no_grad()
def _refuse_changing_buffers(model: nn.Module, probes: Examples) -> None:
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    _run(model, probes)
    for name, buffer in model.named_buffers():
        if not torch.equal(before[name], buffer):
            raise ConfigurationError(
                f"buffer {name!r} is a statistic of the examples, which no noise protects; use a "
                "layer without running statistics, such as nn.GroupNorm"
            )


class _Independence:
    """Compares an example's gradient in one batch with its gradient in others.

    Three comparisons, because each is blind to something: other examples beside it, which misses
    what depends on their number alone; the example alone, which cannot be done where dropout draws
    another mask for another shape; a repetition, which tells whether dropout is left.
    """

    def __init__(self, model: nn.Module, losses: Losses) -> None:
        self._losses = losses
        self._dropouts = [
            module
            for module in model.modules()
            if isinstance(module, nn.modules.dropout._DropoutNd)  # noqa: SLF001 - the family's name
        ]
        self._model = GradSampleModule(model, loss_reduction="sum")

    def check(self, probes: Examples) -> None:
        """Raise ConfigurationError if an example's gradient depends on the others."""
        together = self._gradients(probes)
        for index in range(len(probes)):
            repeated = probes.select(torch.full((len(probes),), index))
            self._compare(together, index, self._gradients(repeated), index)
        for module in self._dropouts:
            module.eval()
        together = self._gradients(probes)
        if not _equal(together, self._gradients(probes, seed=_SEED + 1)):
            return  # dropout that is not a layer
        for index in range(len(probes)):
            alone = self._gradients(probes.select(torch.tensor([index])))
            self._compare(together, index, alone, 0)
            self._compare_with_torch(alone)

    def _compare_with_torch(self, alone: _Gradients) -> None:
        """Of one example, the gradient that Opacus makes is the one that torch makes."""
        norm = torch.stack([gradient[0].norm() for gradient in alone.values()]).norm()
        for name, parameter in self._model.named_parameters():
            found = alone.get(name.removeprefix("_module."))
            if found is None or parameter.grad is None:
                continue
            # Guarantee: what Opacus leaves out is not in the norm by which it clips.
            if not (found[0] - parameter.grad).norm() <= _TOLERANCE * norm:
                raise ConfigurationError(
                    f"expected Opacus' gradient of {name.removeprefix('_module.')!r} to be "
                    "torch's, got another: a parameter is used past its layer, or images are laid "
                    "out channels last in forward"
                )

    @staticmethod
    def _compare(one: _Gradients, row: int, other: _Gradients, other_row: int) -> None:
        norm = torch.stack([gradient[row].norm() for gradient in one.values()]).norm()
        for name, gradient in one.items():
            difference = (gradient[row] - other[name][other_row]).norm()
            # Guarantee: NaN fails the comparison too.
            if not difference <= _TOLERANCE * norm:
                raise ConfigurationError(
                    f"the gradient of one example for {name!r} depends on the other examples of "
                    "its batch: a layer or the loss mixes examples; compute all of it per example"
                )

    def _gradients(self, probes: Examples, *, seed: int = _SEED) -> _Gradients:
        for parameter in self._model.parameters():
            parameter.grad_sample, parameter.grad = None, None
        torch.manual_seed(seed)
        each = self._losses(_run(self._model, probes), probes.targets)
        if each.shape != (len(probes),):
            raise ConfigurationError(
                f"losses must return one loss per example, shape ({len(probes)},), got "
                f"{tuple(each.shape)}"
            )
        try:
            backward(each)
        except RuntimeError as error:
            raise ConfigurationError(f"Opacus cannot train this model: {error}") from error
        found = {}
        for name, parameter in self._model.named_parameters():
            if parameter.requires_grad:
                found[name.removeprefix("_module.")] = _sample(name, parameter, len(probes))
        return found


def _sample(name: str, parameter: nn.Parameter, examples: int) -> Tensor:
    gradient: object = parameter.grad_sample  # type: ignore[attr-defined]
    if isinstance(gradient, Tensor) and len(gradient) == examples:
        return gradient.detach().clone()
    if isinstance(gradient, Tensor):
        why = f"{len(gradient)} for {examples} examples: parts of an example look like examples"
    else:
        why = "none: the loss does not depend on it, or Opacus does not follow how it is used"
    name = name.removeprefix("_module.")
    raise ConfigurationError(f"expected one gradient per example for {name!r}, got {why}")


def _run(model: nn.Module, probes: Examples) -> Tensor:
    try:
        outputs: Tensor = model(*probes.inputs)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ConfigurationError(f"the model fails on public examples: {error}") from error
    return outputs


def _equal(one: _Gradients, other: _Gradients) -> bool:
    return all(torch.equal(gradient, other[name]) for name, gradient in one.items())
