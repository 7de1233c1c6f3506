"""The step on the global parameters from the mean update of a round.

x ← x + η·m for SGD, x ← x + η·m / (√v + τ) for the adaptive ones, with the mean update Δ as a
pseudo-gradient. All of it is post-processing of Δ.

Source: Reddi et al. 2021, "Adaptive federated optimization", Algorithm 2 (arXiv:2003.00295), with
v₀ = τ²; Hsu et al. 2019 (FedAvgM) for SGD with momentum; McMahan et al. 2017: FedAvg is SGD with
η = 1 and no momentum.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from shared.config_sections import ServerConfig
from shared.errors import ConfigurationError, StateError
from shared.parameters import FlatVector

Vector = NDArray[np.float64]


class ServerOptimizer:
    """Parameters and the optimizer's memory of one run.

    Args:
        config: Which optimizer, and its constants.
        dimension: Length d of the parameters.
    """

    def __init__(self, config: ServerConfig, dimension: int) -> None:
        self._config = config
        self._first: Vector = np.zeros(dimension)
        self._second: Vector = np.full(dimension, config.tau**2)

    def step(self, parameters: FlatVector, update: Vector) -> FlatVector:
        """The next global parameters, shape (d,), float32; computed in double precision.

        Raises:
            ConfigurationError: they would not be finite: the training diverges.
        """
        sgd = self._config.optimizer == "sgd"
        direction = self._momentum(update) if sgd else self._adaptive(update)
        moved = parameters.astype(np.float64) + self._config.learning_rate * direction
        # Guarantee: NaN fails the comparison too. Whether to stop is post-processing of `update`.
        if not np.max(np.abs(moved), initial=0.0) <= np.finfo(np.float32).max:
            raise ConfigurationError(
                "the training diverges: expected finite global parameters, got infinity or NaN; "
                "lower training.learning_rate or server.learning_rate"
            )
        return moved.astype(np.float32)

    def state(self) -> dict[str, Vector]:
        """What a checkpoint must keep."""
        return {"first": self._first, "second": self._second}

    def restore(self, state: Mapping[str, Vector]) -> None:
        """Take up what `state` returned.

        Raises:
            StateError: of another optimizer or dimension.
        """
        for name, own in self.state().items():
            if name not in state or state[name].shape != own.shape:
                raise StateError(f"expected optimizer state {name!r} of shape {own.shape}")
        self._first, self._second = state["first"].copy(), state["second"].copy()

    def _momentum(self, update: Vector) -> Vector:
        self._first = self._config.momentum * self._first + update
        return self._first

    def _adaptive(self, update: Vector) -> Vector:
        beta1 = self._config.beta1
        self._first = beta1 * self._first + (1.0 - beta1) * update
        self._second = _SECOND[self._config.optimizer](
            self._second, np.square(update), self._config.beta2
        )
        return self._first / (np.sqrt(self._second) + self._config.tau)


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
