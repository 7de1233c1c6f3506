"""Calibrated noise never overshoots its target, and is hardly more than needed."""

import math

import pytest
from dp_accounting import dp_event as dp

from shared.dp import calibration
from shared.dp.accounting import epsilon_of
from shared.dp.calibration import calibrated_noise
from shared.dp.mechanisms import Adjacency
from shared.errors import ConfigurationError, PrivacyError

ADD_REMOVE = Adjacency.ADD_OR_REMOVE_ONE


def steps(rate: float, count: int) -> calibration.EventOf:
    """DP-SGD as a function of its noise."""

    def event(noise: float) -> dp.DpEvent:
        return dp.SelfComposedDpEvent(
            dp.PoissonSampledDpEvent(rate, dp.GaussianDpEvent(noise)), count
        )

    return event


@pytest.mark.parametrize(
    ("event_of", "target", "delta", "adjacency"),
    [
        (dp.GaussianDpEvent, 1.0, 1e-5, ADD_REMOVE),
        (dp.GaussianDpEvent, 1.0, 1e-5, Adjacency.REPLACE_ONE),
        (steps(0.3, 60), 8.0, 1e-5, ADD_REMOVE),
        (steps(0.01, 500), 2.0, 1e-6, Adjacency.ZERO_OUT),
    ],
)
def test_the_target_is_kept_and_nearly_used(
    event_of: calibration.EventOf, target: float, delta: float, adjacency: Adjacency
) -> None:
    """Never above it; one percent less noise would be."""
    noise = calibrated_noise(event_of, target, delta, adjacency)
    assert epsilon_of(event_of(noise), delta, adjacency).epsilon <= target
    assert epsilon_of(event_of(0.99 * noise), delta, adjacency).epsilon > target


def test_a_large_target_takes_the_least_noise_there_is() -> None:
    """A noise multiplier of zero is never the answer."""
    assert calibrated_noise(dp.GaussianDpEvent, 1e7, 1e-5, ADD_REMOVE) == 0.02


@pytest.mark.parametrize("target", [0.0, -1.0, math.inf, math.nan])
def test_a_target_that_is_no_number_is_refused(target: float) -> None:
    """Infinity is not a promise."""
    with pytest.raises(ConfigurationError, match="target epsilon"):
        calibrated_noise(dp.GaussianDpEvent, target, 1e-5, ADD_REMOVE)


def test_a_promise_that_no_noise_keeps_is_refused() -> None:
    """Said, instead of searching for ever."""
    with pytest.raises(PrivacyError, match="no noise multiplier"):
        calibrated_noise(lambda _: dp.NonPrivateDpEvent(), 1.0, 1e-5, ADD_REMOVE)


def test_where_the_search_ends_above_the_target_noise_is_added(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last word is the report's accountant, not the search's."""
    monkeypatch.setattr("dp_accounting.calibrate_dp_mechanism", lambda *_, **__: 3.70)
    noise = calibrated_noise(dp.GaussianDpEvent, 1.0, 1e-5, ADD_REMOVE)
    assert noise > 3.7
    assert epsilon_of(dp.GaussianDpEvent(noise), 1e-5, ADD_REMOVE).epsilon <= 1.0
