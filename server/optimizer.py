"""The step on the global parameters from the mean update of a round.

x ← x + η·m for SGD, x ← x + η·m / (√v + τ) for the adaptive ones, with the mean update Δ as a
pseudo-gradient. All of it is post-processing of Δ.

With control variates Δ is twice as long: its second half is the mean movement of the clients that
were asked, and the server's variate moves by q times that, the mean over all N.

Source: Reddi et al. 2021, "Adaptive federated optimization", Algorithm 2 (arXiv:2003.00295), with
v₀ = τ²; Hsu et al. 2019 (FedAvgM) for SGD with momentum; McMahan et al. 2017: FedAvg is SGD with
η = 1 and no momentum; Karimireddy et al. 2020 (SCAFFOLD, arXiv:1910.06378).
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from server.at_rest import AtRest, whole
from shared.config import RunConfig
from shared.config_sections import ServerConfig
from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError, StateError
from shared.parameters import FlatVector

Vector = NDArray[np.float64]
_CONTROL = "control"
_BLOCK = 1 << 16  # numbers at a time: nothing but the result needs memory of its own


class ServerOptimizer:
    """Parameters and the optimizer's memory of one run.

    Args:
        config: Which optimizer, and its constants.
        dimension: Length d of the parameters.
        control_rate: q, the share of clients that is asked; None: there are no control variates.
    """

    def __init__(
        self, config: ServerConfig, dimension: int, control_rate: float | None = None
    ) -> None:
        self._config = config
        self._memory: dict[str, Vector | AtRest] = {}
        if config.optimizer != "sgd" or config.momentum:
            self._memory["first"] = np.zeros(dimension)
        if config.optimizer != "sgd":
            self._memory["second"] = np.full(dimension, config.tau**2)
        self._control_rate = control_rate
        if control_rate is not None:
            self._control = np.zeros(dimension)

    def told(self, parameters: FlatVector | AtRest) -> FlatVector:
        """What clients are sent: the parameters, then the control variate, if there is one."""
        if self._control_rate is None:
            return whole(parameters)
        control = self._control.astype(np.float32)
        sent: FlatVector = np.concatenate([whole(parameters), control])
        return sent

    def step(
        self, parameters: FlatVector | AtRest, update: Vector, moved: FlatVector | AtRest
    ) -> None:
        """The next global parameters; computed in double precision.

        Args:
            parameters: Shape (d,).
            update: The mean of the round's updates; changed: its memory may be the optimizer's
                from now on.
            moved: What they are written to, shape (d,), float32.

        Raises:
            ConfigurationError: they would not be finite: the training diverges.
        """
        if self._control_rate is not None:
            shift, update = update[len(parameters) :], update[: len(parameters)].copy()
            self._control += self._control_rate * shift
        for start in range(0, len(moved), _BLOCK):
            part = slice(start, start + _BLOCK)
            direction = self._direction(update[part], part)
            there = parameters[part].astype(np.float64) + self._config.learning_rate * direction
            # Guarantee: NaN fails the comparison too. Whether to stop is post-processing of
            # `update`.
            if not np.max(np.abs(there), initial=0.0) <= np.finfo(np.float32).max:
                raise ConfigurationError(
                    "the training diverges: expected finite global parameters, got infinity or "
                    "NaN; lower training.learning_rate or server.learning_rate"
                )
            moved[part] = there.astype(np.float32)
        if "first" in self._memory:
            self._memory["first"] = update

    def state(self) -> dict[str, Vector | AtRest]:
        """What a checkpoint must keep; nothing, where no later step depends on an earlier one."""
        control = {} if self._control_rate is None else {_CONTROL: self._control}
        return self._memory | control

    def rest(self, state: Mapping[str, AtRest]) -> None:
        """What `state` returned lies there now, and need not lie in memory too."""
        # A control variate is sent in every round.
        self._memory = {name: state[name] for name in self._memory}

    def restore(self, state: Mapping[str, Vector | AtRest]) -> None:
        """Take up what `state` returned.

        Raises:
            StateError: of another optimizer or dimension.
        """
        for name, own in self.state().items():
            if name not in state or state[name].shape != own.shape:
                raise StateError(f"expected optimizer state {name!r} of shape {own.shape}")
            if name == _CONTROL:
                self._control = whole(state[name]).copy()
            else:
                self._memory[name] = whole(state[name]).copy()

    def _direction(self, update: Vector, part: slice) -> Vector:
        if self._config.optimizer != "sgd":
            return self._adaptive(update, part)
        if "first" not in self._memory:
            return update
        update += self._config.momentum * self._memory["first"][part]
        return update

    def _adaptive(self, update: Vector, part: slice) -> Vector:
        beta1, first, second = self._config.beta1, self._memory["first"], self._second()
        second[part] = _SECOND[self._config.optimizer](
            second[part], np.square(update), self._config.beta2
        )
        update *= 1.0 - beta1
        update += beta1 * first[part]
        return update / (np.sqrt(second[part]) + self._config.tau)

    def _second(self) -> Vector:
        """In memory, to be written."""
        second = self._memory["second"]
        if isinstance(second, AtRest):
            second = self._memory["second"] = second[:]
        return second


def server_optimizer(config: RunConfig, plan: PrivacyPlan, dimension: int) -> ServerOptimizer:
    """The optimizer of a run; with control variates where its plan has them."""
    controlled = plan.update is not None and plan.update.controlled
    rate = plan.cohort_sample_rate if controlled else None
    return ServerOptimizer(config.server, dimension, rate)


def _adam(second: Vector, squared: Vector, beta2: float) -> Vector:
    return beta2 * second + (1.0 - beta2) * squared


def _yogi(second: Vector, squared: Vector, beta2: float) -> Vector:
    return second - (1.0 - beta2) * squared * np.sign(second - squared)


def _adagrad(second: Vector, squared: Vector, beta2: float) -> Vector:
    del beta2
    return second + squared


_SECOND: dict[str, Callable[[Vector, Vector, float], Vector]] = {
    "adam": _adam,
    "yogi": _yogi,
    "adagrad": _adagrad,
}
