"""Bounds hold as often as they say, and meet known answers."""

import numpy as np
import pytest
from scipy import stats

from shared.dp.mechanisms import RecordPrivacy
from simulations.audits.bounds import (
    gaussian_delta,
    gaussian_epsilon,
    gaussian_one_run_bound,
    normal_delta,
    steinke_bound,
    two_gaussian_estimate,
    two_sided_bounds,
)
from tests.significance import has_rate

DELTA = 1e-5


@pytest.mark.parametrize(("guesses", "bound"), [(10, 1.01), (100, 3.47), (1000, 5.78)])
def test_the_ceiling_of_one_run_is_the_published_one(guesses: int, bound: float) -> None:
    """Every guess of 1000 canaries right."""
    assert steinke_bound(1000, guesses, guesses, delta=DELTA).epsilon == pytest.approx(
        bound, abs=0.02
    )


@pytest.mark.parametrize("right", [1, 150, 200])
@pytest.mark.parametrize("delta", [0.0, 1e-3])
def test_the_first_bound_is_where_theorem_5_2_stops_refuting(right: int, delta: float) -> None:
    """With scipy's binomial, term by term: it refutes there, and not a millionth further on."""

    def chance(epsilon: float) -> float:
        guess = stats.binom(200, 1 / (1 + np.exp(-epsilon)))
        inside = [guess.cdf(right - 1) - guess.cdf(right - i - 1) for i in range(1, right + 1)]
        return float(
            guess.sf(right - 1) + 2000 * delta * max(v / i for i, v in enumerate(inside, 1))
        )

    found = steinke_bound(1000, 200, right, delta=delta).epsilon
    assert found == 0.0 or chance(found) <= 0.05
    assert chance(found + 1e-6) > 0.05


def test_a_gaussian_has_its_closed_form() -> None:
    """Epsilon and delta are inverse; normals of equal width are the Gaussian mechanism."""
    assert gaussian_epsilon(1.0, DELTA) == pytest.approx(4.377, abs=1e-3)
    assert gaussian_delta(gaussian_epsilon(2.0, DELTA), 2.0) == pytest.approx(DELTA)
    assert normal_delta(1.0, (1.0, 1.0), (0.0, 1.0)) == pytest.approx(gaussian_delta(1.0, 1.0))


def test_many_trials_come_close_to_a_gaussian() -> None:
    """50,000 a side of a true 4.38: about 4.2 by the trade-off, 2.5 without."""
    draw = np.random.default_rng(1)
    tight, plain = two_sided_bounds(
        draw.normal(size=50_000), draw.normal(1.0, 1.0, 50_000), delta=DELTA
    )
    assert 3.9 < tight.epsilon < 4.38
    assert 2.0 < plain.epsilon < 3.2


@pytest.mark.no_cover
@pytest.mark.statistical
def test_no_bound_exceeds_a_known_epsilon_more_often_than_it_says() -> None:
    """At most 5 % of the time each; a coin that is right too often is noticed."""
    draw, truth = np.random.default_rng(2), gaussian_epsilon(1.0, DELTA)
    exceeded = [
        max(
            b.epsilon
            for b in two_sided_bounds(
                draw.normal(size=300), draw.normal(1.0, 1.0, 300), delta=DELTA
            )
        )
        > truth
        for _ in range(200)
    ]
    assert sum(exceeded) <= 10 or has_rate(sum(exceeded), 200, 0.05)
    right = draw.binomial(400, 1 / (1 + np.exp(-1.0)), size=200)  # randomised response at 1
    high = [steinke_bound(400, 400, int(v), delta=0.0).epsilon > 1.0 for v in right]
    assert sum(high) <= 10 or has_rate(sum(high), 200, 0.05)
    assert steinke_bound(400, 400, 350, delta=0.0).epsilon > 1.0


def test_more_right_guesses_prove_more() -> None:
    """And none prove nothing."""
    for rule in (steinke_bound, gaussian_one_run_bound):
        found = [rule(500, 200, right, delta=DELTA).epsilon for right in (0, 100, 150, 200)]
        assert found == sorted(found)
        assert found[0] == 0.0 < found[-1]
        assert rule(500, 0, 0, delta=DELTA).epsilon == 0.0


def test_the_estimate_is_near_the_truth() -> None:
    """Within its own interval's reach."""
    draw = np.random.default_rng(3)
    found = two_gaussian_estimate(
        draw.normal(size=5000), draw.normal(1.4, 1.0, 5000), delta=DELTA, generator=draw
    )
    assert found.low < gaussian_epsilon(1.4, DELTA) < found.high
    assert RecordPrivacy.unit == "record"
