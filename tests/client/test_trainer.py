"""Local training against oracles written without it, and the independence of clients."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.trainer import LocalTraining, _forked
from shared.config import Scalar
from shared.dp.randomness import OperatingSystemRandomness, SeededRandomness
from shared.dp.sampling import poisson_sample
from shared.errors import ConfigurationError, MessageError, PrivacyError, ProtocolError
from shared.parameters import FlatVector
from shared.task import Examples
from tests.client.toy import (
    Toy,
    cross_entropy,
    examples,
    half_square,
    mlp,
    point,
    points,
    silence,
    start,
    training,
    updated,
)

PLAIN: dict[str, Scalar] = {
    "privacy.unit": "none",
    "training.steps": 3,
    "training.batch_size": 4,
    "training.learning_rate": 0.1,
}
RECORD: dict[str, Scalar] = PLAIN | {"privacy.unit": "record", "training.sample_rate": 0.5}
UNBOUND: dict[str, Scalar] = {"privacy.clipping_norm": 1e6}
OPTIMIZERS: dict[str, tuple[dict[str, Scalar], Callable[..., torch.optim.Optimizer]]] = {
    "sgd": ({}, lambda weights: torch.optim.SGD(weights, lr=0.1)),
    "momentum": (
        {"training.momentum": 0.9},
        lambda weights: torch.optim.SGD(weights, lr=0.1, momentum=0.9),
    ),
    "adam": (
        {"training.optimizer": "adam"},
        lambda weights: torch.optim.Adam(weights, lr=0.1),
    ),
}


def oracle(
    batches: list[Tensor], divisor: int | None, make: Callable[..., torch.optim.Optimizer]
) -> FlatVector:
    """The update of a bare torch loop over `batches`; divisor None: the mean of each batch."""
    model, data, parameters = mlp(), examples(11), start()
    torch.nn.utils.vector_to_parameters(torch.from_numpy(parameters.copy()), model.parameters())
    optimizer = make(model.parameters())
    for rows in batches:
        optimizer.zero_grad(set_to_none=False)
        losses = cross_entropy(model(data.inputs[0][rows]), data.targets[rows])
        (losses.sum() / (divisor or len(rows))).backward()
        optimizer.step()
    flat = torch.nn.utils.parameters_to_vector(model.parameters()).detach().numpy()
    return np.asarray(flat - parameters, dtype=np.float32)


def _constant(value: float) -> Callable[..., NDArray[np.float64]]:
    """Noise that is `value` everywhere."""

    def noise(count: int, stddev: float, *, stream: object) -> NDArray[np.float64]:
        del stddev, stream
        return np.full(count, value)

    return noise


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_without_bound_and_noise_private_training_is_plain_training(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C huge, noise zero: a bare torch loop over the same Poisson batches, divided by B."""
    silence(monkeypatch)
    keys, make = OPTIMIZERS[name]
    randomness = SeededRandomness(7)
    batches = [
        torch.from_numpy(
            poisson_sample(
                11, 0.5, stream=randomness.stream("record_sampling", "site-000000", 1, 1, step)
            )
        )
        for step in (1, 2, 3)
    ]
    got = updated(training(RECORD | UNBOUND | keys), examples(11))
    np.testing.assert_allclose(got, oracle(batches, 4, make), atol=2e-5)


def test_a_tiny_noise_multiplier_changes_little() -> None:
    """The same with the true noise of z = 1e-9: the noise is scaled by z and C, nothing else."""
    keys = RECORD | {"privacy.clipping_norm": 1e3, "privacy.noise_multiplier": 1e-9}
    noisy = updated(training(keys), examples(11))
    assert np.abs(noisy).max() > 1e-3
    more = updated(training(keys | {"privacy.noise_multiplier": 2e-9}), examples(11))
    np.testing.assert_allclose(noisy, more, atol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_plain_training_is_a_bare_torch_loop(name: str) -> None:
    """Shuffled batches, a new shuffle each epoch, the last one short, `steps` of them in all."""
    keys, make = OPTIMIZERS[name]
    batches: list[Tensor] = []
    for epoch in (1, 2):
        order = SeededRandomness(7).stream("shuffle", "site-000000", 1, 1, epoch).permutation(11)
        batches += torch.from_numpy(order).split(4)
    got = updated(training(PLAIN | {"training.steps": 5} | keys), examples(11))
    np.testing.assert_allclose(got, oracle(batches[:5], None, make), atol=2e-5)
    whole = PLAIN | {"training.steps": 0, "training.epochs": 2} | keys
    np.testing.assert_allclose(
        updated(training(whole), examples(11)), oracle(batches, None, make), atol=2e-5
    )


def test_the_number_of_steps_does_not_depend_on_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly T draws of noise at q = 1e-9, at an empty site, and at a full one."""
    asked = silence(monkeypatch)
    for count, rate in ((11, 1e-9), (0, 0.5), (11, 1.0)):
        asked.clear()
        keys = RECORD | {"training.steps": 6, "training.sample_rate": rate}
        update = updated(training(keys), examples(count))
        assert len(asked) == 6
        assert update.any() == (rate == 1.0)


def test_an_empty_batch_needs_no_forward_pass() -> None:
    """A model that fails when called is not called; the noisy step is taken all the same."""

    def fails(outputs: Tensor, targets: Tensor) -> Tensor:
        raise AssertionError((outputs, targets))

    update = updated(training(RECORD, Toy(losses=fails)), examples(0))
    assert np.count_nonzero(update) == 53


@pytest.mark.parametrize("micro", [1, 2, 3, 7, 512])
def test_the_micro_batch_size_changes_rounding_only(micro: int) -> None:
    """One Poisson draw split physically: same clip of each record, noise once."""
    keys = RECORD | {"training.sample_rate": 1.0}
    whole = updated(training(keys), examples(11))
    parts = updated(training(keys | {"training.max_physical_batch": micro}), examples(11))
    np.testing.assert_allclose(parts, whole, atol=2e-6)


@pytest.mark.parametrize("unit", ["none", "record"])
def test_fedprox_pulls_towards_the_start_as_computed_by_hand(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On ½‖w − x‖²: w_k = w* + (1 − η(1 + μ))ᵏ (w₀ − w*), with w* = (x + μ w₀)/(1 + μ)."""
    silence(monkeypatch)
    eta, mu, steps = 0.1, 2.0, 5
    keys: dict[str, Scalar] = (
        RECORD
        | UNBOUND
        | {
            "privacy.unit": unit,
            "training.steps": steps,
            "training.sample_rate": 1.0,
            "training.batch_size": 1,
            "training.proximal_term": mu,
        }
    )
    first = np.array([1.0, -2.0, 0.5], dtype=np.float32)
    target = np.array([3.0, 0.0, -1.0])
    got = updated(
        training(keys, Toy(point, half_square)), points((3.0, 0.0, -1.0)), parameters=first
    )
    limit = (target + mu * first) / (1 + mu)
    expected = limit + (1 - eta * (1 + mu)) ** steps * (first - limit) - first
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_the_pull_of_fedprox_is_neither_clipped_nor_divided(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is added after the noise: at an empty site step k pulls back what step 1 moved."""
    monkeypatch.setattr("client.dp_optimizer.gaussian_noise", _constant(100.0))
    eta, mu, batch = 0.1, 2.0, 4
    keys: dict[str, Scalar] = RECORD | {
        "training.proximal_term": mu, "training.steps": 3, "privacy.clipping_norm": 1e-3,
    }  # fmt: skip
    moved = 0.0
    for _ in range(3):
        moved -= eta * (100.0 / batch + mu * moved)
    np.testing.assert_allclose(updated(training(keys), examples(0)), moved, rtol=1e-5)


class _Faulty:
    """Losses that fail in a chosen way at the third batch of the process, once."""

    def __init__(self, kind: str) -> None:
        self.kind, self.calls = kind, 0

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        self.calls += 1
        if self.calls != 3:
            return cross_entropy(outputs, targets)
        if self.kind == "forward":
            raise RuntimeError("in the forward pass")
        outputs.register_hook(self._fail)
        # Hooks run from the last layer to the first: this one after the last layer's own.
        return cross_entropy(outputs, targets)

    @staticmethod
    def _fail(gradient: Tensor) -> None:
        raise RuntimeError(f"in the backward pass {gradient.shape}")


@pytest.mark.parametrize("unit", ["none", "client", "record"])
def test_a_client_before_leaves_no_trace(unit: str) -> None:
    """The update of B is the same to the byte whether or not A was trained before it."""
    keys = RECORD | {"privacy.unit": unit, "training.momentum": 0.9}
    alone = updated(training(keys), examples(11, seed=2), client_id="b")
    shared_trainer = training(keys)
    first = updated(shared_trainer, examples(9, seed=3), client_id="a", parameters=start(seed=5))
    assert updated(shared_trainer, examples(11, seed=2), client_id="b").tobytes() == alone.tobytes()
    again = updated(shared_trainer, examples(9, seed=3), client_id="a", parameters=start(seed=5))
    assert again.tobytes() == first.tobytes() != alone.tobytes()


@pytest.mark.parametrize("kind", ["forward", "backward"])
@pytest.mark.parametrize("unit", ["none", "record"])
def test_a_client_that_failed_before_leaves_no_trace(unit: str, kind: str) -> None:
    """Nor if A broke off in the middle of a pass, with activations kept in Opacus' hooks."""
    keys = RECORD | {"privacy.unit": unit, "training.sample_rate": 1.0}
    alone = updated(training(keys), examples(11), client_id="b")
    trainer = training(keys, Toy(losses=_Faulty(kind)))
    with pytest.raises(RuntimeError, match=kind):
        updated(trainer, examples(11, seed=3), client_id="a")
    assert updated(trainer, examples(11), client_id="b").tobytes() == alone.tobytes()


def test_labels_and_seed_decide_a_seeded_update() -> None:
    """Same labels and seed: same bytes; another client or seed: another update."""
    data = examples(11)
    one = updated(training(RECORD), data)
    assert one.tobytes() == updated(training(RECORD), data).tobytes()
    assert not np.array_equal(one, updated(training(RECORD), data, client_id="b"))
    other = updated(training(RECORD), data, randomness=SeededRandomness(8))
    assert not np.array_equal(one, other)


def test_the_operating_systems_randomness_never_repeats() -> None:
    """Two updates of the same round differ."""
    trainer, data = training(RECORD), examples(11)
    first = updated(trainer, data, randomness=OperatingSystemRandomness())
    assert not np.array_equal(first, updated(trainer, data, randomness=OperatingSystemRandomness()))


@pytest.mark.parametrize("unit", ["none", "record"])
def test_dropout_is_seeded_and_leaves_torchs_generator_alone(unit: str) -> None:
    """Whatever torch's own generator holds, the update is the same, and it holds it afterwards."""

    def dropping() -> nn.Sequential:
        return nn.Sequential(nn.Linear(6, 5), nn.Dropout(0.5), nn.Linear(5, 3))

    keys = RECORD | {"privacy.unit": unit}
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        found.append(updated(training(keys, Toy(dropping)), examples(11)))
        assert torch.equal(before, torch.get_rng_state())
    assert found[0].tobytes() == found[1].tobytes()
    without = updated(training(keys, Toy(lambda: dropping()[::2])), examples(11))
    assert not np.array_equal(found[0], without)


@pytest.mark.parametrize("unit", ["none", "client"])
def test_a_site_without_examples_sends_zero(unit: str) -> None:
    """No batch, no step, a zero update of the right shape; by steps and by epochs."""
    for steps, epochs in ((3, 0), (0, 3)):
        keys = PLAIN | {
            "privacy.unit": unit, "training.steps": steps, "training.epochs": epochs,
        }  # fmt: skip
        update = updated(training(keys), examples(0))
        assert update.shape == (53,)
        assert update.dtype == np.float32
        assert not update.any()


def test_a_clients_update_is_clipped() -> None:
    """‖update‖₂ ≤ C up to rounding, in the direction of the unclipped update."""
    free = updated(training(PLAIN), examples(11))
    bound = 0.1 * float(np.linalg.norm(free))
    keys = PLAIN | {"privacy.unit": "client", "privacy.clipping_norm": bound}
    clipped = updated(training(keys), examples(11))
    np.testing.assert_allclose(clipped, 0.1 * free, atol=1e-6)


@pytest.mark.parametrize("unit", ["none", "record", "client"])
def test_training_that_diverges_sends_nothing_or_zero(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Client level: zero, since a refusal would tell. Otherwise the client counts as lost."""
    monkeypatch.setattr("client.dp_optimizer.gaussian_noise", _constant(1e38))
    keys = RECORD | {"privacy.unit": unit, "training.learning_rate": 1e38}
    data = Examples((examples(4).inputs[0] * math.nan,), examples(4).targets)
    if unit == "client":
        assert not updated(training(keys), data).any()
        return
    with pytest.raises(ProtocolError, match="diverged"):
        updated(training(keys), data)


@pytest.mark.parametrize("unit", ["none", "record"])
def test_losses_that_mix_examples_are_refused(unit: str) -> None:
    """A mean over the batch has no gradient per example."""
    averaging = Toy(losses=lambda outputs, targets: cross_entropy(outputs, targets).mean())
    with pytest.raises(PrivacyError, match=r"expected one loss per example, shape \(\d,\)"):
        updated(
            training(RECORD | {"privacy.unit": unit, "training.sample_rate": 1.0}, averaging),
            examples(4),
        )


def test_a_frozen_layer_at_random_is_refused() -> None:
    """Every node would hold another one; only what is trained travels."""

    def frozen() -> nn.Module:
        model = mlp()
        next(model.children()).requires_grad_(False)
        return model

    with pytest.raises(ConfigurationError, match=r"'0.weight' is not trained"):
        training(PLAIN, Toy(frozen))


def test_parameters_of_another_model_are_refused() -> None:
    """And the trainer can be used afterwards."""
    trainer = training(PLAIN)
    with pytest.raises(MessageError, match=r"\(53,\)"):
        updated(trainer, examples(4), parameters=start(52))
    assert updated(trainer, examples(4)).any()


def test_a_parameter_without_gradient_stays_where_it_is() -> None:
    """Plain FedProx passes over what the loss does not depend on."""

    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = mlp(), nn.Linear(2, 2)

        def forward(self, inputs: Tensor) -> Tensor:
            out: Tensor = self.used(inputs)
            return out

    keys = PLAIN | {"training.proximal_term": 0.5}
    update = updated(training(keys, Toy(Idle)), examples(11), parameters=start(59))
    assert update[:53].all()
    assert not update[53:].any()


def test_torch_uses_the_threads_that_the_configuration_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Set where it differs, and only there."""
    asked: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", asked.append)
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    for threads in (2, 3):
        updated(training(PLAIN | {"runtime.torch_threads": threads}), examples(4))
    assert asked == [3]


def test_the_generator_of_the_gpu_that_trains_is_put_back() -> None:
    """Of that one alone; the CPU's always is."""
    assert _forked(torch.device("cpu")) == []
    assert _forked(torch.device("cuda")) == [0]
    assert _forked(torch.device("cuda:2")) == [2]


def test_a_record_can_be_drawn_again_and_again() -> None:
    """Poisson: at q = ½ a record is drawn in about 200 of 400 steps, not once in a round."""
    keys: dict[str, Scalar] = RECORD | {
        "training.steps": 400,
        "training.sample_rate": 0.5,
        "privacy.clipping_norm": 1.0,
        "training.batch_size": 1,
        "training.learning_rate": 1e-6,
        "privacy.noise_multiplier": 1e-9,
    }
    data = points((1.0, 0.0, 0.0))
    trainer: LocalTraining = training(keys, Toy(point, half_square))
    update = updated(trainer, data, parameters=np.zeros(3, dtype=np.float32))
    drawn = float(update[0]) / 1e-6
    assert math.isclose(drawn, 200, abs_tol=100 * 0.5)  # ± 5 standard deviations of 10
