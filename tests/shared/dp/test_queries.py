"""Private queries: bounded whatever the rows hold, noised as planned, counted in the plan."""

import math

import numpy as np
import pytest
from dp_accounting import dp_event as dp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from shared.dp.plan import PrivacyPlan
from shared.dp.queries import SumQuery, bounded, mean_row, noisy_sum, noisy_sum_of_units
from shared.dp.randomness import SeededRandomness
from shared.errors import ConfigurationError, MessageError
from tests.server.toy import plan
from tests.significance import NOISE_SAMPLES, is_normal
from tests.strategies import any_floats

QUERY = SumQuery(noise_multiplier=2.0, width=3, every=2)
ROWS = npst.arrays(np.float64, st.tuples(st.integers(0, 8), st.just(3)), elements=any_floats)
STREAM = SeededRandomness(1).stream


@given(ROWS, npst.arrays(np.float64, (1, 3), elements=any_floats))
def test_one_record_more_moves_the_sum_by_at_most_its_sensitivity(
    rows: np.ndarray, one: np.ndarray
) -> None:
    """Whatever it holds: NaN, infinity, huge numbers."""
    before = noisy_sum(rows, QUERY, stream=STREAM("x"))
    after = noisy_sum(np.concatenate([rows, one]), QUERY, stream=STREAM("x"))
    assert np.linalg.norm(after - before) <= QUERY.clipping_norm * (1 + 1e-9)


@given(st.lists(npst.arrays(np.float64, 3, elements=any_floats), max_size=6))
def test_one_client_moves_the_servers_sum_by_at_most_its_sensitivity(
    vectors: list[np.ndarray],
) -> None:
    """Even one that does not keep to the bounds."""
    zero = np.zeros(3)
    with_it = noisy_sum_of_units(vectors, QUERY, stream=STREAM("x"))
    without = noisy_sum_of_units([zero, *vectors[1:]], QUERY, stream=STREAM("x"))
    assert np.linalg.norm(with_it - without) <= QUERY.clipping_norm * (1 + 1e-9)


@pytest.mark.statistical
def test_the_noise_is_z_times_the_sensitivity() -> None:
    """On both sums; half of it would be seen."""
    wide = SumQuery(noise_multiplier=0.5, width=NOISE_SAMPLES, every=0)
    empty = np.zeros((0, NOISE_SAMPLES))
    expected = 0.5 * math.sqrt(NOISE_SAMPLES)
    assert wide.noise_stddev == pytest.approx(expected)
    assert is_normal(noisy_sum(empty, wide, stream=STREAM("a")), expected)
    assert is_normal(noisy_sum_of_units([], wide, stream=STREAM("b")), expected)
    assert not is_normal(noisy_sum(empty, wide, stream=STREAM("a")) / 2, expected)


def test_a_unit_of_many_rows_sends_their_mean_and_one_of_none_sends_zero() -> None:
    """So that a client's number of records has no weight."""
    rows = np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
    assert mean_row(rows).tolist() == [0.5, 1.0, 1.0]
    assert mean_row(np.zeros((0, 3))).tolist() == [0.0, 0.0, 0.0]


def test_numbers_are_cut_to_the_unit_interval() -> None:
    """NaN is 0."""
    rows = np.array([[math.nan, math.inf, -math.inf], [0.25, 7.0, -1.0]])
    assert bounded(rows).tolist() == [[0.0, 1.0, 0.0], [0.25, 1.0, 0.0]]


def test_a_query_is_due_every_so_many_rounds() -> None:
    """Or once, before the first."""
    assert [number for number in range(1, 8) if QUERY.due(number)] == [2, 4, 6]
    assert QUERY.times(7) == 3
    once = SumQuery(noise_multiplier=1.0, width=1, every=0)
    assert (once.times(7), once.due(1)) == (1, False)


@pytest.mark.parametrize("noise", [0.0, -1.0, math.nan, math.inf])
def test_a_query_without_noise_does_not_exist(noise: float) -> None:
    """Fails closed."""
    with pytest.raises(ConfigurationError, match="noise_multiplier"):
        SumQuery(noise_multiplier=noise, width=3, every=1)


def asking(unit: str) -> PrivacyPlan:
    """A plan of six rounds with both queries."""
    return plan(
        {
            "privacy.unit": unit,
            "rounds": 6,
            "population.size": 50,
            "cohort.sample_rate": 0.2,
            "evaluation.private_every": 2,
            "evaluation.noise_multiplier": 4.0,
            "statistics.private": True,
            "statistics.noise_multiplier": 3.0,
            "statistics.channels": 2,
        }
    )


def test_at_record_level_every_record_takes_part_in_a_query() -> None:
    """Without amplification; as often as planned."""
    events = asking("record").events()
    assert events["evaluate"] == (dp.GaussianDpEvent(4.0), 3)
    assert events["statistics"] == (dp.GaussianDpEvent(3.0), 1)


def test_at_client_level_a_query_has_a_cohort_of_the_plans_law() -> None:
    """A fresh draw, with the query's own noise."""
    event, times = asking("client").events()["evaluate"]
    assert isinstance(event, dp.TruncatedSubsampledGaussianDpEvent)
    assert (event.noise_multiplier, event.sampling_probability, times) == (4.0, 0.2, 3)


@pytest.mark.parametrize("unit", ["record", "client"])
def test_a_plan_with_queries_survives_json(unit: str) -> None:
    """And another width is another plan."""
    asked = asking(unit)
    assert PrivacyPlan.parse(asked.canonical()) == asked
    assert asked.statistics is not None
    assert asked.statistics.width == 5
    with pytest.raises(MessageError):
        PrivacyPlan.parse(asked.canonical().replace('"width":5', '"width":5,"free":1'))
    with pytest.raises(MessageError):
        PrivacyPlan.parse(
            asked.canonical().replace('"noise_multiplier":3.0', '"noise_multiplier":0.0')
        )


def test_without_a_unit_of_privacy_nothing_is_asked() -> None:
    """There is nothing that the noise would be relative to."""
    with pytest.raises(ConfigurationError, match="unit of privacy"):
        plan({"privacy.unit": "none", "evaluation.private_every": 1})
