"""Clipped sums by book-keeping against torch's own gradient of each record alone."""

import copy
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from client import layer_parts, per_record
from client.book_keeping import BookKeeping
from client.layer_parts import Kept, knows
from client.per_record import ByBookKeeping, ByHooks, chosen
from shared.errors import PrivacyError
from shared.parameters import trainable
from shared.task import Examples
from shared.tasks.image_classification import cnn, small_cnn
from shared.tasks.residual import resnet

RECORDS = 5
EXACT = 1e-5  # relative, as the norms that Opacus finds


class Twice(nn.Module):
    """One layer used twice, and its weight once more as another layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(6, 6), nn.Linear(6, 6, bias=False)
        self.other.weight = self.one.weight

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape (n, 6)."""
        return self.other(torch.tanh(self.one(torch.tanh(self.one(inputs)))))  # type: ignore[no-any-return]


class Words(nn.Module):
    """An embedding, tied to the output layer, with normed sequences between."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.norm = nn.Embedding(7, 4), nn.LayerNorm(4)
        self.out = nn.Linear(4, 7, bias=False)
        self.out.weight = self.table.weight

    def forward(self, tokens: Tensor) -> Tensor:
        """Shape (n, T) -> (n, 7)."""
        return self.out(torch.tanh(self.norm(self.table(tokens)))).mean(1)  # type: ignore[no-any-return]


def odd() -> nn.Module:
    """Convolutions with stride, dilation, padding and no bias, a group norm, ReLU in place."""
    return nn.Sequential(
        nn.Conv2d(2, 4, (3, 2), stride=(2, 1), padding=(1, 0), bias=False), nn.ReLU(inplace=True),
        nn.GroupNorm(2, 4), nn.Conv2d(4, 3, 2, dilation=2), nn.ReLU(inplace=True),
        nn.Flatten(), nn.LazyLinear(3),
    )  # fmt: skip


def frozen() -> nn.Module:
    """The first layer is not trained; the second has a bias that is not."""
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    model[0].requires_grad_(False)
    model[2].bias.requires_grad_(False)
    return model


def rows(*shape: int) -> Callable[[], Tensor]:
    """Normal numbers."""
    return lambda: torch.randn(RECORDS, *shape)


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "cnn": (cnn, rows(1, 28, 28)),
    "small cnn": (small_cnn, rows(1, 28, 28)),
    "odd convolutions": (odd, rows(2, 9, 8)),
    "sequence": (
        lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Flatten(), nn.Linear(20, 3)),
        rows(4, 6),
    ),
    "shared": (Twice, rows(6)),
    "words": (Words, lambda: torch.randint(7, (RECORDS, 9))),
    "frozen": (frozen, rows(6)),
}


def losses(model: nn.Module, batch: Examples) -> Tensor:
    """Cross entropy of each record."""
    outputs = model(*batch.inputs)
    return nn.functional.cross_entropy(outputs, batch.targets, reduction="none")


def made(name: str) -> tuple[nn.Module, Examples]:
    """A model that has run once, and records for it."""
    build, inputs = MODELS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model, given = build(), inputs()
        model(given)
        return model, Examples((given,), torch.randint(3, (RECORDS,)))


def alone(model: nn.Module, batch: Examples) -> list[list[Tensor]]:
    """Torch's gradient of each record."""
    model = copy.deepcopy(model)
    found = []
    for row in range(len(batch)):
        one = losses(model, batch.select(torch.tensor([row]))).sum()
        found.append([g.detach() for g in torch.autograd.grad(one, trainable(model))])
    return found


def clipped(each: list[list[Tensor]], clipping_norm: float) -> list[Tensor]:
    """Their clipped sum, in double precision."""
    total = [torch.zeros_like(part, dtype=torch.float64) for part in each[0]]
    for gradient in each:
        norm = torch.stack([part.double().norm() for part in gradient]).norm()
        scale = min(1.0, clipping_norm / (float(norm) + 1e-6))
        total = [place + scale * part for place, part in zip(total, gradient, strict=True)]
    return total


def distance(found: list[Tensor], expected: list[Tensor]) -> float:
    """Relative, over all parameters together."""
    squares = [
        torch.stack([(a.double() - b).square().sum(), b.square().sum()])
        for a, b in zip(found, expected, strict=True)
    ]
    off, size = torch.stack(squares).sum(0)
    return float((off / size).sqrt())


def norms(each: list[list[Tensor]]) -> list[float]:
    """Of each record's gradient."""
    return [float(torch.stack([part.norm() for part in parts]).norm()) for parts in each]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("share", [0.3, 1.0, 100.0])
def test_the_sum_is_that_of_gradients_clipped_one_by_one(name: str, share: float) -> None:
    """Some clipped, about half, none; shared parameters are one parameter."""
    model, batch = made(name)
    each = alone(model, batch)
    norm = share * sorted(norms(each))[RECORDS // 2]
    found = BookKeeping(model).clipped_sums(lambda m: losses(m, batch), RECORDS, norm)
    assert distance(found, clipped(each, norm)) < EXACT
    assert all(weight.requires_grad for weight in trainable(model))
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize("name", ["sequence", "odd convolutions", "words"])
def test_where_single_gradients_would_need_too_much_memory_norms_do_without(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Norms by products of places; the same sum."""
    monkeypatch.setattr(layer_parts, "_MOST_NUMBERS", 0)
    model, batch = made(name)
    each = alone(model, batch)
    norm = min(norms(each))
    found = BookKeeping(model).clipped_sums(lambda m: losses(m, batch), RECORDS, norm)
    assert distance(found, clipped(each, norm)) < EXACT


@pytest.mark.parametrize("name", MODELS)
def test_channels_last_gives_the_same_sum_where_opacus_alone_would_not(name: str) -> None:
    """The layout that the trainer chooses, and that of the reference, end in the same numbers."""
    model, batch = made(name)
    each = alone(model, batch)
    norm = min(norms(each))
    way = ByBookKeeping(copy.deepcopy(model), losses, norm)
    assert distance(way.sums(batch), clipped(each, norm)) < EXACT


@pytest.mark.parametrize("spoiler", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("name", ["cnn", "shared", "sequence"])
def test_a_gradient_that_is_not_finite_counts_as_zero(name: str, spoiler: float) -> None:
    """The sum is that of the others, and finite."""
    model, batch = made(name)
    inputs = batch.inputs[0].clone()
    inputs[2] = spoiler
    spoiled = Examples((inputs,), batch.targets)
    each = alone(model, batch)
    del each[2]
    keeping = BookKeeping(model)
    found = keeping.clipped_sums(lambda m: losses(m, spoiled), RECORDS, 0.5)
    moved = [a.double() - b for a, b in zip(found, clipped(each, 0.5), strict=True)]
    # A huge record that has a gradient after all is clipped like any other.
    most = 0.5 if spoiler == 1e30 else 0.0
    assert float(torch.stack([part.norm() for part in moved]).norm()) <= most + 1e-4


def test_it_is_chosen_where_it_agrees_with_opacus() -> None:
    """And Opacus where a layer is not known."""
    model, batch = made("cnn")
    assert isinstance(chosen(model, losses, batch, 1.0), ByBookKeeping)
    other = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Flatten(), nn.LazyLinear(3))
    inputs = torch.randn(RECORDS, 2, 8)
    other(inputs)
    batch = Examples((inputs,), torch.randint(3, (RECORDS,)))
    assert isinstance(chosen(other, losses, batch, 1.0), ByHooks)


@pytest.mark.parametrize(
    ("answers", "way"),
    [
        ([True], ByBookKeeping),
        ([False, True, True], ByBookKeeping),
        ([False, True, False], ByHooks),
        ([False, False], ByHooks),
    ],
)
def test_one_set_of_made_up_records_may_lie_at_a_kink(
    answers: list[bool], way: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two other sets decide then, and both have to agree."""
    seen: list[Examples] = []

    def agree(_: nn.Module, __: object, records: Examples) -> bool:
        seen.append(records)
        return answers[len(seen) - 1]

    monkeypatch.setattr(per_record, "_agree", agree)
    model, batch = made("cnn")
    assert isinstance(chosen(model, losses, batch, 1.0), way)
    assert len(seen) == len(answers)
    inputs = [records.inputs[0] for records in seen]
    assert all(not torch.equal(one, other) for one, other in pairwise(inputs))


def test_group_norm_and_relu_at_a_kink_are_no_reason_for_hooks() -> None:
    """Where this seed was found, the first made-up records disagree, and the others do not."""
    torch.manual_seed(1009)
    batch = Examples((torch.zeros(2, 1, 28, 28),), torch.zeros(2, dtype=torch.int64))
    assert isinstance(chosen(resnet(10), losses, batch, 1.0), ByBookKeeping)


class Overwriting(nn.Module):
    """Changes what went into a layer after the layer has seen it."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.out = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape (n, 6) -> (n, 3)."""
        hidden = torch.tanh(inputs)
        found = self.one(hidden)
        hidden.mul_(2.0)
        return self.out(found + hidden)  # type: ignore[no-any-return]


def test_what_no_hook_sees_is_found_before_a_record_is_read() -> None:
    """A model that changes a layer's input afterwards is refused: the kept input is another."""
    model = Overwriting()
    batch = Examples((torch.randn(RECORDS, 6),), torch.randint(3, (RECORDS,)))
    with pytest.raises(PrivacyError, match="to stay as it was"):
        BookKeeping(model).clipped_sums(lambda m: losses(m, batch), RECORDS, 1.0)
    assert all(weight.requires_grad for weight in trainable(model))


def test_a_parameter_without_gradients_is_an_error() -> None:
    """A layer that the loss does not depend on, and one that is used past its layer."""
    model = nn.ModuleList([nn.Linear(6, 3), nn.Linear(6, 3)])
    batch = Examples((torch.randn(RECORDS, 6),), torch.randint(3, (RECORDS,)))

    def first(model: nn.Module) -> Tensor:
        return losses(model.get_submodule("0"), batch)

    with pytest.raises(PrivacyError, match="one gradient per example"):
        BookKeeping(model).clipped_sums(first, RECORDS, 1.0)


def test_parts_of_a_record_that_look_like_records_are_an_error() -> None:
    """Folding places into the batch would clip each to C."""
    model = nn.Linear(3, 3)
    batch = Examples((torch.randn(RECORDS, 2, 3),), torch.randint(3, (RECORDS,)))

    def folded(model: nn.Module) -> Tensor:
        outputs = model(batch.inputs[0].flatten(0, 1)).view(RECORDS, 2, 3).mean(1)
        return nn.functional.cross_entropy(outputs, batch.targets, reduction="none")

    with pytest.raises(PrivacyError, match="expected 5 examples at each layer, got 10"):
        BookKeeping(model).clipped_sums(folded, RECORDS, 1.0)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(2, 2, 3, groups=2),
        nn.Conv2d(2, 2, 3, padding="same"),
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
        nn.Embedding(3, 2, padding_idx=0),
        nn.Embedding(3, 2, scale_grad_by_freq=True),
        nn.Conv1d(2, 2, 3),
        nn.Bilinear(2, 2, 2),
    ],
)
def test_a_layer_that_computes_something_else_is_not_known(layer: nn.Module) -> None:
    """Nor a subclass, whose forward may be any."""

    class Own(nn.Linear):
        pass

    assert not knows(layer)
    assert not knows(Own(2, 2))
    assert not BookKeeping.known(nn.Sequential(nn.Linear(2, 2), layer))


def test_a_planted_error_of_a_norm_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Biases that are left out of the norm: the sum is off, and Opacus is chosen."""
    model, batch = made("sequence")
    each = alone(model, batch)
    monkeypatch.setattr(Kept, "norms_squared", lambda self: torch.zeros(len(self.each())))
    norm = min(norms(each))
    found = BookKeeping(model).clipped_sums(lambda m: losses(m, batch), RECORDS, norm)
    assert distance(found, clipped(each, norm)) > 10 * EXACT
    assert isinstance(chosen(made("sequence")[0], losses, batch, norm), ByHooks)
