"""Models that may be trained privately, and those that may not, each refused by its name."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from shared.errors import ConfigurationError
from shared.model_check import check_fixed_parts, check_model
from shared.task import Examples
from shared.tasks.digits import mlp, tiny_cnn
from shared.tasks.image_classification import cnn, small_cnn

GENERATOR = torch.Generator().manual_seed(3)
IMAGES = Examples((torch.rand(5, 1, 28, 28, generator=GENERATOR),), torch.arange(5))
ROWS = Examples((torch.rand(5, 8, generator=GENERATOR),), torch.arange(5) % 3)
Forward = Callable[["Layers", Tensor], Tensor]


class Layers(nn.Module):
    """Two linear layers, put together by a function."""

    def __init__(self, forward: Forward) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 3)
        self.dropout = nn.Dropout(0.5)
        self._put_together = forward

    def forward(self, inputs: Tensor) -> Tensor:
        """As the function says."""
        return self._put_together(self, inputs)


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy of each example."""
    return nn.functional.cross_entropy(outputs, targets, reduction="none")


def check(model: nn.Module, *, per_record: bool = True, examples: Examples = ROWS) -> None:
    """`check_model` with cross entropy; neither the model nor torch's generator is changed."""
    parameters = [parameter.clone() for parameter in model.parameters()]
    state, mode = torch.get_rng_state(), model.training
    try:
        check_model(model, examples, cross_entropy, per_record=per_record)
    finally:
        assert torch.equal(state, torch.get_rng_state())
        assert model.training == mode
        for before, after in zip(parameters, model.parameters(), strict=True):
            assert torch.equal(before, after)
            assert after.grad is None
            assert not hasattr(after, "grad_sample")


@pytest.mark.parametrize("per_record", [True, False])
@pytest.mark.parametrize("model", [cnn, small_cnn])
def test_the_models_that_are_shipped_pass(model: Callable[[], nn.Module], per_record: bool) -> None:
    """At every unit of privacy, also in evaluation mode."""
    check(model().eval(), per_record=per_record, examples=IMAGES)


@pytest.mark.parametrize("model", [mlp, tiny_cnn])
def test_the_tiny_models_pass(model: Callable[[], nn.Module]) -> None:
    """Group norm, pooling, flattening."""
    check(model(), examples=Examples((IMAGES.inputs[0][:, :, :8, :8],), IMAGES.targets))


WITHOUT_MIXING: dict[str, Forward] = {
    "plain": lambda m, x: m.last(torch.tanh(m.first(x))),
    "a layer used twice": lambda m, x: m.last(m.first(torch.tanh(m.first(x)))),
    "normalised per example": lambda m, x: m.last(m.first(x - x.mean(1, keepdim=True))),
    "a dropout layer": lambda m, x: m.last(m.dropout(m.first(x))),
    "dropout as a function": lambda m, x: m.last(
        nn.functional.dropout(m.first(x), 0.5, m.training)
    ),
    "attention within an example": lambda m, x: m.last(
        torch.softmax(m.first(x)[:, :, None] * x[:, None], 2).sum(1)
    ),
}
MIXING: dict[str, Forward] = {
    "minus the mean": lambda m, x: m.last(m.first(x - x.mean(0))),
    "minus the mean, late": lambda m, x: m.last(m.first(x) - m.first(x).mean(0)),
    "softmax over the batch": lambda m, x: m.last(torch.softmax(m.first(x), 0)),
    "its neighbour": lambda m, x: m.last(m.first(x) + 0.01 * m.first(x).roll(1, 0)),
    "divided by the number": lambda m, x: m.last(m.first(x) / len(x)),
    "mean behind dropout": lambda m, x: m.last(m.dropout(m.first(x - x.mean(0)))),
    "mean behind a dropout function": lambda m, x: m.last(
        nn.functional.dropout(m.first(x - x.mean(0)), 0.5, m.training)
    ),
    "the number behind a dropout layer": lambda m, x: m.last(m.dropout(m.first(x / len(x)))),
    "NaN": lambda m, x: m.last(m.first(x) * float("nan")),
}


@pytest.mark.parametrize("name", WITHOUT_MIXING)
def test_a_model_that_keeps_examples_apart_passes(name: str) -> None:
    """Rounding and dropout are not mistaken for mixing."""
    check(Layers(WITHOUT_MIXING[name]))


@pytest.mark.parametrize("name", MIXING)
def test_a_model_that_mixes_examples_is_refused(name: str) -> None:
    """Found by its gradients, whatever the layer is called; below record level it may."""
    with pytest.raises(ConfigurationError, match="depends on the other examples of its batch"):
        check(Layers(MIXING[name]))
    check(Layers(MIXING[name]), per_record=False)


@pytest.mark.parametrize("per_record", [True, False])
@pytest.mark.parametrize("layer", [nn.BatchNorm1d(8), nn.SyncBatchNorm(8), nn.LazyBatchNorm1d()])
def test_batch_norm_is_refused_at_every_unit(layer: nn.Module, per_record: bool) -> None:
    """It mixes examples, and its running means are statistics of private data."""
    model = nn.Sequential(nn.Linear(8, 8), layer, nn.Linear(8, 3))
    with pytest.raises(ConfigurationError, match=r"layer '1' \(.*\) mixes examples; use nn.Group"):
        check_model(model, ROWS, cross_entropy, per_record=per_record)


@pytest.mark.parametrize(
    ("layer", "replacement"),
    [
        (nn.LSTM(8, 8), "opacus.layers.DPLSTM"),
        (nn.GRU(8, 8), "opacus.layers.DPGRU"),
        (nn.RNN(8, 8), "opacus.layers.DPRNN"),
        (nn.MultiheadAttention(8, 1), "opacus.layers.DPMultiheadAttention"),
        (nn.TransformerEncoderLayer(8, 1), "opacus.layers.DPMultiheadAttention"),
    ],
)
def test_a_layer_without_gradients_per_example_is_refused_with_its_replacement(
    layer: nn.Module, replacement: str
) -> None:
    """At record level."""
    with pytest.raises(ConfigurationError, match=replacement):
        check_model(nn.Sequential(layer), ROWS, cross_entropy, per_record=True)


@pytest.mark.parametrize("per_record", [True, False])
def test_running_statistics_are_refused_at_every_unit(per_record: bool) -> None:
    """Instance norm that keeps them is found by its buffer changing."""
    model = nn.Sequential(nn.InstanceNorm2d(1, track_running_stats=True), small_cnn())
    with pytest.raises(ConfigurationError, match=r"buffer '0.running_mean' is a statistic"):
        check(model, per_record=per_record, examples=IMAGES)


def test_a_constant_buffer_is_refused_at_record_level_alone() -> None:
    """Opacus takes no layer with one; elsewhere it is as harmless as a constant."""
    model = Layers(lambda m, x: m.last(m.first(x) + m.get_buffer("shift")))
    model.register_buffer("shift", torch.ones(8))
    check(model, per_record=False)
    with pytest.raises(ConfigurationError, match="buffer 'shift'"):
        check(model)


def test_what_opacus_validator_refuses_is_refused() -> None:
    """Its own words follow."""
    model = Layers(lambda m, x: m.last(m.first(x)))
    model.norm = nn.InstanceNorm2d(1, affine=True, track_running_stats=True)
    with pytest.raises(
        ConfigurationError, match=r"Opacus cannot train this model: .* running stats"
    ):
        check(model)


def test_a_parameter_that_gets_no_gradient_is_refused() -> None:
    """Unused, or used outside its layer."""
    unused = Layers(lambda m, x: m.first(x)[:, :3])
    outside = Layers(lambda m, x: nn.functional.linear(m.first(x), m.last.weight, m.last.bias))
    for model in (unused, outside):
        with pytest.raises(ConfigurationError, match=r"'last.weight', got none"):
            check(model)


def test_frozen_parameters_need_no_gradient() -> None:
    """A public base under a trained head."""
    model = Layers(lambda m, x: m.last(torch.tanh(m.first(x))))
    model.first.requires_grad_(False)
    check(model)


def test_a_weight_that_is_used_past_its_layer_is_refused() -> None:
    """Opacus sees the layer alone: the rest of the gradient would be in no norm."""
    past = Layers(lambda m, x: m.last(torch.tanh(m.first(x)) @ m.first.weight))
    with pytest.raises(ConfigurationError, match=r"'first\.weight' to be torch's, got another"):
        check(past)
    check(past, per_record=False)


class ChannelsLast(nn.Module):
    """Lays images out in its own way; two convolutions, since of one Opacus has it right."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = cnn()

    def forward(self, inputs: Tensor) -> Tensor:
        """Shape (n, 1, 28, 28) -> (n, 10)."""
        weights = self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return weights(inputs.to(memory_format=torch.channels_last))  # type: ignore[no-any-return]


def test_images_that_forward_lays_out_channels_last_are_refused() -> None:
    """Opacus 1.6 takes their gradients for shorter than they are, without a word."""
    with pytest.raises(ConfigurationError, match="gradient of one example"):
        check(ChannelsLast(), examples=IMAGES)
    check(cnn().to(memory_format=torch.channels_last), examples=IMAGES)  # type: ignore[call-overload]


def test_parts_of_an_example_are_not_taken_for_examples() -> None:
    """Each part would be clipped by itself."""
    model = Layers(lambda m, x: m.first(x))
    model.first, model.last = nn.Linear(1, 1), nn.Linear(1, 1)
    model._put_together = lambda m, x: m.last(m.first(x.reshape(-1, 1))).reshape(-1, 8)[:, :3]
    with pytest.raises(ConfigurationError, match="got 24 for 3 examples: parts of an example"):
        check(model)


def test_losses_must_be_one_for_each_example() -> None:
    """A mean is refused."""
    with pytest.raises(ConfigurationError, match=r"shape \(3,\), got \(\)"):
        check_model(
            Layers(WITHOUT_MIXING["plain"]), ROWS, nn.functional.cross_entropy, per_record=True
        )


def test_losses_that_mix_examples_are_refused() -> None:
    """One loss per example, but divided by their number."""
    with pytest.raises(ConfigurationError, match="a layer or the loss mixes examples"):
        check_model(
            Layers(WITHOUT_MIXING["plain"]),
            ROWS,
            lambda outputs, targets: cross_entropy(outputs, targets) / len(targets),
            per_record=True,
        )


@pytest.mark.parametrize("per_record", [True, False])
def test_a_model_that_fails_on_public_examples_is_refused(per_record: bool) -> None:
    """With what torch says of it."""
    with pytest.raises(ConfigurationError, match="the model fails on public examples: mat1"):
        check(nn.Linear(9, 3), per_record=per_record)


def test_a_model_that_fails_backward_is_refused() -> None:
    """For instance a function without a derivative."""
    model = Layers(lambda m, x: m.last(m.first(x)).detach())
    with pytest.raises(ConfigurationError, match="Opacus cannot train this model: element 0"):
        check(model)


@pytest.mark.parametrize("count", [0, 1])
def test_a_check_without_two_examples_is_refused(count: int) -> None:
    """One example alone cannot show whether it is mixed with others."""
    with pytest.raises(ConfigurationError, match=f"at least 2 public examples .* got {count}"):
        check(Layers(MIXING["minus the mean"]), examples=ROWS.select(torch.arange(count)))


def test_parts_that_are_not_trained_must_be_the_same_everywhere() -> None:
    """Random ones are refused by name, constants pass, and torch's generator is left alone."""

    def frozen(*, constant: bool, buffer: bool) -> nn.Module:
        model = nn.Linear(2, 2)
        if buffer:
            model.register_buffer("extra", torch.rand(2))
        else:
            model.weight.requires_grad_(False)
        if constant:
            for tensor in (*model.parameters(), *model.buffers()):
                nn.init.constant_(tensor, 0.5)
        return model

    state = torch.get_rng_state()
    check_fixed_parts(lambda: nn.Linear(2, 2))
    for buffer, name in ((True, "extra"), (False, "weight")):
        check_fixed_parts(partial(frozen, constant=True, buffer=buffer))
        with pytest.raises(ConfigurationError, match=f"'{name}' is not trained"):
            check_fixed_parts(partial(frozen, constant=False, buffer=buffer))
    assert torch.equal(state, torch.get_rng_state())


def test_parts_that_are_not_trained_must_be_in_every_build() -> None:
    """A model that is built in two ways is refused."""
    built = iter([True, False])

    def changing() -> nn.Module:
        model = nn.Linear(2, 2)
        if next(built):
            model.register_buffer("extra", torch.ones(2))
        return model

    with pytest.raises(ConfigurationError, match="'extra' is not trained"):
        check_fixed_parts(changing)
