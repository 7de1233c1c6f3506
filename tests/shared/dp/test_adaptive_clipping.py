"""The clip follows the quantile; one Gaussian covers updates and count together."""

import math

import numpy as np
import pytest
from dp_accounting import dp_event as dp
from hypothesis import given
from hypothesis import strategies as st

from shared.config import Scalar
from shared.dp.accounting import epsilon_of
from shared.dp.adaptive_clipping import adapted, update_noise_multiplier
from shared.dp.mechanisms import Adjacency, ClientPrivacy
from shared.errors import ConfigurationError
from tests.server.toy import plan


@pytest.mark.parametrize(("noise", "count"), [(1.0, 5.0), (0.5, 0.3), (2.0, 40.0)])
def test_updates_and_count_together_cost_what_is_accounted(noise: float, count: float) -> None:
    """Two Gaussians of multipliers z_Δ and 2σ_b are one of z (sensitivity of the count: ½)."""
    both = dp.ComposedDpEvent(
        [
            dp.GaussianDpEvent(update_noise_multiplier(noise, count)),
            dp.GaussianDpEvent(count / 0.5),
        ]
    )
    apart = epsilon_of(both, 1e-5, Adjacency.ZERO_OUT).epsilon
    as_one = epsilon_of(dp.GaussianDpEvent(noise), 1e-5, Adjacency.ZERO_OUT).epsilon
    assert apart == pytest.approx(as_one, abs=2e-4)
    assert update_noise_multiplier(noise, count) > noise


@pytest.mark.parametrize("count", [0.5, 0.1])
def test_a_count_that_costs_everything_is_refused(count: float) -> None:
    """At σ_b = z/2 nothing is left for the updates."""
    with pytest.raises(ConfigurationError, match="count_noise_multiplier"):
        update_noise_multiplier(1.0, count)
    with pytest.raises(ConfigurationError, match="count_noise_multiplier"):
        plan({"privacy.clipping": "adaptive", "privacy.count_noise_multiplier": count})


@pytest.mark.parametrize("start", [1e-2, 1e3])
def test_from_a_bad_start_the_clip_finds_the_quantile(start: float) -> None:
    """Norms between 1 and 2: the median is 1.5, from far below and far above."""
    norms = np.linspace(1.0, 2.0, 101)
    clip = start
    for _ in range(200):
        clip = adapted(clip, float((norms <= clip).mean()), quantile=0.5, learning_rate=0.2)
    assert clip == pytest.approx(1.5, rel=0.02)


@given(st.floats(1e-6, 1e6), st.floats(-1e9, 1e9), st.floats(0, 1), st.floats(1e-3, 1e3))
def test_whatever_the_noise_the_clip_stays_positive_and_finite(
    clip: float, share: float, quantile: float, rate: float
) -> None:
    """And one round moves it by a factor e at most."""
    moved = adapted(clip, share, quantile=quantile, learning_rate=rate)
    assert 0.0 < moved < math.inf
    assert abs(math.log(moved / clip)) <= 1.0 + 1e-9


def test_the_count_noise_is_public_and_of_the_expected_cohort() -> None:
    """q·N/20 where nothing is said; the accounted multiplier stays the configured one."""
    promise = plan(
        {
            "privacy.clipping": "adaptive",
            "population.size": 1000,
            "cohort.sample_rate": 0.1,
            "privacy.delta": 1e-5,
        }
    ).mechanism
    fixed = plan(
        {"population.size": 1000, "cohort.sample_rate": 0.1, "privacy.delta": 1e-5}
    ).mechanism
    assert getattr(promise, "count_noise_multiplier", None) == 5.0
    assert promise.round_event() == fixed.round_event()


@pytest.mark.parametrize("noise", [0.5, 1.0, 5.0, 20.0])
def test_the_automatic_count_noise_leaves_something_for_the_updates(noise: float) -> None:
    """Few clients and much noise too: at least z, so the updates' noise is at most 1.16·z."""
    promise = plan({"privacy.clipping": "adaptive", "privacy.noise_multiplier": noise})
    assert isinstance(promise.mechanism, ClientPrivacy)
    assert noise < promise.mechanism.update_noise_multiplier <= 1.16 * noise


def test_a_query_beside_an_adaptive_clip_has_the_noise_of_its_own() -> None:
    """Its multiplier, at the cohort's law, and no share for a count."""
    asked: dict[str, Scalar] = {
        "population.size": 1000,
        "cohort.sample_rate": 0.1,
        "privacy.delta": 1e-5,
        "evaluation.private_every": 1,
        "evaluation.noise_multiplier": 30.0,
    }
    adaptive = plan(asked | {"privacy.clipping": "adaptive"})
    assert adaptive.events()["evaluate"] == plan(asked).events()["evaluate"]


@pytest.mark.parametrize(
    "changes",
    [
        {"privacy.unit": "record", "privacy.clipping": "adaptive"},
        {"privacy.unit": "none", "privacy.correlation": "tree"},
        {"privacy.clipping": "adaptive", "privacy.correlation": "tree"},
    ],
)
def test_where_it_has_no_meaning_it_is_refused(changes: dict[str, str]) -> None:
    """Never silently ignored."""
    with pytest.raises(ConfigurationError, match="privacy"):
        plan(dict(changes))
