"""Which parts of an input moved a model's score, by five methods of the extra `explain`.

Attributions are computed from the records given, without noise: of private records they are
private. Baselines come from public data alone, and random perturbations from a fixed seed, so the
same records give the same scores twice.

Source: Sundararajan et al. 2017 (integrated gradients, arXiv:1703.01365); Simonyan et al. 2014
(saliency); Ribeiro et al. 2016 (LIME); Lundberg & Lee 2017 (KernelSHAP); Selvaraju et al. 2017
(Grad-CAM); the code is captum's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shared.errors import ConfigurationError
from shared.extras import extra
from shared.question import Kind, Question

_STEPS = 64  # of an integral
_PERTURBED = 300  # copies of an input for LIME and KernelSHAP
_AT_ONCE = 100
_CELLS = 7  # a picture is perturbed in at most so many cells a side
_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Scores of one method for each record.

    Attributes:
        method: A name of METHODS.
        scores: Shape (n, height, width), (n, columns) or (n, tokens); positive speaks for the
            class. Saliency and Grad-CAM have no negative ones.
        gap: For integrated gradients, how far the sum is from F(x) - F(baseline); shape (n,).
    """

    method: str
    scores: Tensor
    gap: Tensor | None = None


def applicable(question: Question) -> list[str]:
    """Methods that this model and these inputs allow."""
    convolves = question.kind is Kind.PICTURE and _last_convolution(question.scores) is not None
    return [name for name in METHODS if name != "grad_cam" or convolves]


def attribute(question: Question, methods: Sequence[str]) -> list[Attribution]:
    """The scores of each of `methods`.

    Raises:
        ConfigurationError: the extra is not installed, or a method does not apply.
    """
    need_extra()
    if unknown := sorted(set(methods) - set(applicable(question))):
        raise ConfigurationError(
            f"this model can be explained by {', '.join(applicable(question))}, got {unknown}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        return [METHODS[name](question) for name in methods]


def need_extra() -> None:
    """Raise ConfigurationError unless captum and matplotlib are installed."""
    try:
        import captum.attr  # noqa: F401, PLC0415 - an extra
        import matplotlib.figure  # noqa: F401, PLC0415 - likewise
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"explain needs {extra('explain')}; got no {error.name}"
        ) from error


def _integrated_gradients(q: Question) -> Attribution:
    from captum.attr import IntegratedGradients, LayerIntegratedGradients  # noqa: PLC0415 - extra

    first, text = q.inputs[0], q.kind is Kind.TEXT
    tool = (
        LayerIntegratedGradients(q.scores, _embedding(q)) if text else IntegratedGradients(q.scores)
    )
    found = tool.attribute(
        first, baselines=q.nothing, target=q.classes,
        additional_forward_args=q.rest, n_steps=_STEPS, internal_batch_size=512,
    ).detach()  # fmt: skip
    with torch.no_grad():
        nothing = q.nothing
        # A model may see from the tokens how long a text is: only their vectors are moved.
        there = _scored(q, _embedding(q)(nothing)) if text else q.scores(nothing, *q.inputs[1:])
        moved = (q.scores(*q.inputs) - there).gather(1, q.classes[:, None])[:, 0]
    return Attribution(
        method="integrated_gradients",
        scores=_laid_out(q, found),
        gap=found.flatten(1).sum(1) - moved,
    )


def _saliency(q: Question) -> Attribution:
    from captum.attr import Saliency  # noqa: PLC0415 - an extra

    if q.kind is Kind.TEXT:
        return Attribution(method="saliency", scores=_token_gradients(q).norm(dim=-1))
    first = q.inputs[0].clone().requires_grad_()
    found = Saliency(q.scores).attribute(first, q.classes, additional_forward_args=q.rest)
    return Attribution(method="saliency", scores=_laid_out(q, found.detach()))


def _token_gradients(q: Question) -> Tensor:
    """Gradient of each record's score by the vectors of its tokens, shape (n, t, width)."""
    vectors = _embedding(q)(q.inputs[0]).detach().requires_grad_()
    chosen = _scored(q, vectors).gather(1, q.classes[:, None])
    found: Tensor = torch.autograd.grad(chosen.sum(), vectors)[0]
    return found


def _scored(q: Question, vectors: Tensor) -> Tensor:
    """Scores of the records with `vectors` in the place of their tokens' own."""
    handle = _embedding(q).register_forward_hook(lambda *_: vectors)
    try:
        found: Tensor = q.scores(*q.inputs)
    finally:
        handle.remove()
    return found


def _lime(q: Question) -> Attribution:
    from captum._utils.models.linear_model import SkLearnRidge  # noqa: PLC0415 - an extra
    from captum.attr import Lime  # noqa: PLC0415 - likewise

    return _perturbed(q, "lime", Lime(q.scores, interpretable_model=SkLearnRidge(alpha=0.1)))


def _kernel_shap(q: Question) -> Attribution:
    from captum.attr import KernelShap  # noqa: PLC0415 - an extra

    return _perturbed(q, "kernel_shap", KernelShap(q.scores))


def _perturbed(q: Question, method: str, tool: Any) -> Attribution:
    first = q.inputs[0]
    mask = _cells(first) if q.kind is Kind.PICTURE else torch.arange(first.shape[1])[None]
    found = [
        tool.attribute(
            first[row : row + 1], baselines=q.nothing[row : row + 1], target=int(q.classes[row]),
            additional_forward_args=tuple(t[row : row + 1] for t in q.inputs[1:]) or None,
            feature_mask=mask, n_samples=_PERTURBED, perturbations_per_eval=_AT_ONCE,
        )
        for row in range(len(first))
    ]  # fmt: skip
    scores = _laid_out(q, torch.cat(found).detach())
    # What is blank in every copy has no share; a fit gives it a little, by chance.
    return Attribution(
        method=method, scores=scores * (first != q.nothing) if q.kind is Kind.TEXT else scores
    )


def _grad_cam(q: Question) -> Attribution:
    from captum.attr import LayerGradCam  # noqa: PLC0415 - an extra

    tool = LayerGradCam(q.scores, _last_convolution(q.scores))
    first = q.inputs[0].clone().requires_grad_()
    found = tool.attribute(
        first, q.classes, additional_forward_args=q.rest, relu_attributions=True
    ).detach()
    flat = found.ndim == 3  # a convolution along one axis tells nothing of the other
    mode = "linear" if flat else "bilinear"
    grown = nn.functional.interpolate(found, first.shape[2:], mode=mode, align_corners=False)
    return Attribution(
        method="grad_cam", scores=grown.expand(-1, first.shape[1], -1) if flat else grown.sum(1)
    )


METHODS: Mapping[str, Callable[[Question], Attribution]] = {
    "integrated_gradients": _integrated_gradients,
    "saliency": _saliency,
    "lime": _lime,
    "kernel_shap": _kernel_shap,
    "grad_cam": _grad_cam,
}


def _laid_out(q: Question, found: Tensor) -> Tensor:
    """Without channels, or the width of a token's vector, whose scores are added up."""
    first = q.inputs[0]
    if q.kind is Kind.TEXT:
        return found.sum(-1) if found.ndim == 3 else found
    return found.sum(1) if first.ndim == 4 else found


def _cells(inputs: Tensor) -> Tensor:
    """Number of the cell that each point of a picture is in, shape (1, ...)."""
    height, width = inputs.shape[-2:]
    down, across = (torch.arange(side) // -(-side // _CELLS) for side in (height, width))
    cells = down[:, None] * (int(across.max()) + 1) + across
    return cells.expand(1, *inputs.shape[1:])


def _last_convolution(model: nn.Module) -> nn.Module | None:
    found = [m for m in model.modules() if isinstance(m, nn.Conv1d | nn.Conv2d)]
    return found[-1] if found else None


def _embedding(q: Question) -> nn.Embedding:
    found = next((m for m in q.scores.modules() if isinstance(m, nn.Embedding)), None)
    if found is None:
        raise ConfigurationError(
            "explain needs a model whose tokens have an nn.Embedding, got none"
        )
    return found
