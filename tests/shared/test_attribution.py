"""Each method finds what a model was made to look at; integrated gradients add up."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from shared.attribution import METHODS, applicable, attribute
from shared.errors import ConfigurationError
from shared.question import Kind, Question, ask, kind_of
from shared.task import Examples, TaskSettings
from tests.looking_tasks import COLUMN, PATCH, Pictures, Planted, Table, Texts


def with_the_plant(kind: type[Planted]) -> tuple[nn.Module, Examples, Examples]:
    """The model, two records that hold the planted place, and the public examples."""
    task = kind(TaskSettings())
    public = task.evaluation_data()
    rows = (public.targets == 1).nonzero()[:2, 0]
    return task.build_model().eval(), public.select(rows), public


def of_the_plant(kind: type[Planted], scores: Tensor) -> Tensor:
    """Share of the scores' size that lies on the planted place, for each record."""
    size = scores.abs()
    places = {Pictures: (..., *PATCH), Table: (..., COLUMN), Texts: (..., 2)}
    planted = size[places[kind]].reshape(len(size), -1).sum(1)
    return planted / size.reshape(len(size), -1).sum(1)


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (kind, method)
        for kind in (Pictures, Table, Texts)
        for method in METHODS
        if kind is Pictures or method != "grad_cam"
    ],
)
def test_each_method_finds_what_was_planted(kind: type[Planted], method: str) -> None:
    """At least nine tenths of all that it says is said of the planted place, and for the class.

    Saliency of the texts' sum is the same for every token: the planted model is linear.
    """
    model, records, public = with_the_plant(kind)
    question = ask(model, records, public, None)
    assert question.classes.tolist() == [1, 1]
    (found,) = attribute(question, [method])
    assert found.method == method
    assert torch.isfinite(found.scores).all()
    if (kind, method) == (Texts, "saliency"):
        assert (found.scores == found.scores[0, 0]).all()
        return
    # A cell of the perturbed pictures is not the patch; here it is two by two as the patch is.
    assert (of_the_plant(kind, found.scores) > 0.9).all()
    assert (found.scores.reshape(2, -1).sum(1) > 0.0).all()


def test_what_looks_elsewhere_is_not_found_there() -> None:
    """The test above can fail: a model of another column."""
    model, records, public = with_the_plant(Table)
    first = next(model.children())
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        first.weight.copy_(first.weight.roll(1, dims=1))
    for found in attribute(ask(model, records, public, 1), ["integrated_gradients", "lime"]):
        assert (of_the_plant(Table, found.scores) < 0.5).all()


class Masked(nn.Module):
    """Leaves padding out, which it knows by the tokens themselves, as models of texts do."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 3)
        self.rest = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))

    def forward(self, tokens: Tensor) -> Tensor:
        """Of the mean vector of what is no padding."""
        real = (tokens != 0).float()[:, :, None]
        found: Tensor = self.rest((self.embedding(tokens) * real).sum(1) / real.sum(1).clamp_min(1))
        return found


def without(model: nn.Module, question: Question) -> Tensor:
    """Scores of the baseline; for texts of padding's vectors in as long a text."""
    first = question.inputs[0]
    if isinstance(model, Masked):
        found: Tensor = model.rest(model.embedding.weight[:1]).expand(len(first), -1)
        return found
    return torch.as_tensor(model(question.baseline.expand_as(first)))


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), kind=st.sampled_from([Pictures, Table, Texts]))
def test_integrated_gradients_add_up(seed: int, kind: type[Planted]) -> None:
    """Σ scores = F(x) - F(baseline) for whatever smooth model; what is told as a gap is the gap."""
    generator = torch.Generator().manual_seed(seed)
    public = kind(TaskSettings()).evaluation_data()
    smooth: nn.Module = {
        Pictures: lambda: nn.Sequential(
            nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(72, 3)
        ),
        Table: lambda: nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)),
        Texts: Masked,
    }[kind]()
    with torch.no_grad():
        for parameter in smooth.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    question = ask(smooth.eval(), public, public, None)
    (found,) = attribute(question, ["integrated_gradients"])
    with torch.no_grad():
        moved = (smooth(*public.inputs) - without(smooth, question)).gather(
            1, question.classes[:, None]
        )
    sums = found.scores.reshape(len(public), -1).sum(1)
    assert torch.allclose(sums, moved[:, 0], atol=1e-3)
    assert found.gap is not None
    assert torch.allclose(found.gap, sums - moved[:, 0], atol=1e-5)


def test_the_same_records_give_the_same_scores_and_randomness_is_left_alone() -> None:
    """Perturbations come from a fixed seed of their own."""
    model, records, public = with_the_plant(Pictures)
    question, state = ask(model, records, public, None), torch.random.get_rng_state()
    first, second = (attribute(question, ["lime", "kernel_shap"]) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state)
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.scores, other.scores)


def test_baselines_come_from_public_data_alone() -> None:
    """Private records change no baseline: black, the public mean, padding."""
    for kind, expected in ((Pictures, -1.0), (Texts, 0.0)):
        model, records, public = with_the_plant(kind)
        assert ask(model, records, public, None).baseline.unique().tolist() == [expected]
    model, records, public = with_the_plant(Table)
    baseline = ask(model, records, public, None).baseline
    assert torch.allclose(baseline[0], public.inputs[0].mean(0))


class _Signal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Conv1d(4, 2, 3, padding=1)
        self.last = nn.Linear(2, 3)

    def forward(self, signal: Tensor, weight: Tensor) -> Tensor:
        """Two inputs; bands of a signal first."""
        found: Tensor = self.last(self.seen(signal).relu().mean(2)) * weight[:, None]
        return found


def test_a_signal_is_a_picture_of_bands_and_further_inputs_are_held() -> None:
    """Every method applies; Grad-CAM of a convolution along time says the same of each band."""
    torch.manual_seed(0)
    examples = Examples((torch.randn(3, 4, 10), torch.ones(3)), torch.zeros(3).long())
    question = ask(_Signal().eval(), examples, examples, 2)
    assert applicable(question) == list(METHODS)
    for found in attribute(question, list(METHODS)):
        assert found.scores.shape == (3, 4, 10)
    assert (found.scores == found.scores[:, :1]).all()  # the last is Grad-CAM


def test_one_score_for_each_record_is_explained() -> None:
    """A model with one output, as a column or without."""
    rows = Examples((torch.randn(3, 2),), torch.zeros(3))
    for model in (nn.Linear(2, 1), nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))):
        question = ask(model, rows, rows, None)
        assert question.classes.tolist() == [0, 0, 0]
        assert attribute(question, ["saliency"])[0].scores.shape == (3, 2)


def test_what_cannot_be_explained_is_said() -> None:
    """Inputs, outputs, classes and methods that do not fit; tokens without an embedding."""
    model, records, public = with_the_plant(Table)
    with pytest.raises(ConfigurationError, match="from 0 to 1, got 2"):
        ask(model, records, public, 2)
    with pytest.raises(ConfigurationError, match=r"got \['grad_cam', 'tea'\]"):
        attribute(ask(model, records, public, None), ["grad_cam", "tea", "lime"])
    for wrong in (torch.zeros(2), torch.zeros(2, 3, dtype=torch.int32)):
        with pytest.raises(ConfigurationError, match="explain knows pictures"):
            kind_of(wrong)
    assert kind_of(torch.zeros(2, 3, 4)) is Kind.PICTURE
    grid = nn.Unflatten(1, (5, 1))
    with pytest.raises(ConfigurationError, match="one row of scores"):
        ask(grid, records, public, None)
    tokens = Examples((torch.ones(2, 3).long(),), torch.zeros(2))

    class Summed(nn.Module):
        def forward(self, given: Tensor) -> Tensor:
            """Without an embedding."""
            return given.float() @ torch.ones(3, 2)

    with pytest.raises(ConfigurationError, match=r"nn\.Embedding"):
        attribute(ask(Summed(), tokens, tokens, None), ["saliency"])


@pytest.mark.parametrize("hidden", ["captum.attr", "matplotlib.figure"])
def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    """Before anything is computed."""
    monkeypatch.setitem(sys.modules, hidden, None)
    with pytest.raises(ConfigurationError, match=r"\.\[explain\]"):
        attribute(ask(*with_the_plant(Table), None), ["lime"])
