"""One step's privacy losses are the library's, at every place of the grid."""

import numpy as np
import pytest
from dp_accounting import NeighboringRelation
from dp_accounting.pld import privacy_loss_distribution as pld
from scipy import stats

from shared.dp import single_step
from shared.dp.single_step import (
    mixed_gaussian,
    replaced_gaussian,
    sampled_gaussian,
    truncated_gaussian,
)
from shared.errors import PrivacyError
from tests.shared.dp.test_composition import parts


def same(found: pld.PrivacyLossDistribution, expected: pld.PrivacyLossDistribution) -> bool:
    """In both directions: masses, where they begin, what is infinite."""
    return (
        found._symmetric == expected._symmetric
        and parts(found._pmf_remove) == parts(expected._pmf_remove)
        and (found._symmetric or parts(found._pmf_add) == parts(expected._pmf_add))
    )


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("noise", "rate", "interval"),
    [
        (1.0, 0.02, 1e-3),
        (0.3, 0.5, 1e-2),
        (4.0, 0.5, 1e-3),
        (1.63, 0.3, 1e-3),
        (0.06, 0.999, 0.1),
        (0.02, 0.3, 1.0),  # losses that no exponential can hold
        (20.0, 1e-4, 1e-5),
        (1.2, 0.6321205588285577, 1e-2),  # ln(1 - q) is a place of the grid
    ],
)
def test_a_sampled_step_is_the_librarys_bit_for_bit(
    noise: float, rate: float, interval: float
) -> None:
    """Much noise and little, hardly sampled and nearly always; where losses end, too."""
    expected = pld.from_gaussian_mechanism(
        noise, sampling_prob=rate, value_discretization_interval=interval
    )
    assert same(sampled_gaussian(noise, rate, interval=interval), expected)


@pytest.mark.parametrize(
    ("noise", "rate", "interval"),
    [(1.0, 0.02, 1e-2), (0.3, 0.5, 0.1), (4.0, 0.5, 1e-3), (0.5, 0.999, 1e-2), (20.0, 1e-4, 1e-5)],
)
def test_a_step_with_a_replaced_unit_is_the_librarys_bit_for_bit(
    noise: float, rate: float, interval: float
) -> None:
    """One distribution for both directions."""
    expected = pld.from_gaussian_mechanism(
        noise, sampling_prob=rate, value_discretization_interval=interval,
        neighboring_relation=NeighboringRelation.REPLACE_ONE,
    )  # fmt: skip
    found = replaced_gaussian(noise, rate, interval=interval)
    assert found._symmetric
    assert expected._symmetric
    assert parts(found._pmf_remove) == parts(expected._pmf_remove)


@pytest.mark.parametrize(
    ("noise", "rate", "most", "of"),
    [
        (1.0, 0.05, 80, 1000),
        (5.0, 0.5, 80, 100),
        (2.0, 0.02, 3, 60),
        (1.0, 0.01, 90, 90),
        (1.0, 1.0, 50, 90),
    ],
)
@pytest.mark.parametrize("relation", ["ADD_OR_REMOVE_ONE", "REPLACE_SPECIAL"])
def test_a_sample_that_is_cut_is_the_librarys_bit_for_bit(
    noise: float, rate: float, most: int, of: int, relation: str
) -> None:
    """Which has one distribution for both relations; also where nothing is ever cut."""
    expected = pld.from_truncated_subsampled_gaussian_mechanism(
        of, rate, most, noise, value_discretization_interval=1e-2,
        neighboring_relation=NeighboringRelation[relation],
    )  # fmt: skip
    assert same(truncated_gaussian(noise, rate, most, of, interval=1e-2), expected)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("noise", "rate", "records", "interval"),
    [(1.0, 0.01, 3, 1e-2), (0.6, 0.3, 2, 1e-2), (4.0, 0.9, 10, 1e-2), (0.3, 0.5, 5, 0.5)],
)
def test_a_mixture_is_the_librarys_bit_for_bit(
    noise: float, rate: float, records: int, interval: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many places are searched at once."""
    shares = [float(share) for share in stats.binom(records, rate).pmf(range(records + 1))]
    expected = pld.from_mixture_gaussian_mechanism(
        noise, [float(k) for k in range(records + 1)], shares,
        value_discretization_interval=interval,
    )  # fmt: skip
    assert same(mixed_gaussian(noise, shares, interval=interval), expected)
    monkeypatch.setattr(single_step, "_AT_ONCE", 100)
    assert same(mixed_gaussian(noise, shares, interval=interval), expected)


def test_a_planted_inverse_that_is_a_little_off_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a billionth."""
    expected = pld.from_gaussian_mechanism(
        4.0, sampling_prob=0.5, value_discretization_interval=1e-2
    )
    exact = single_step._Sampled._inverses
    assert same(sampled_gaussian(4.0, 0.5, interval=1e-2), expected)
    monkeypatch.setattr(
        single_step._Sampled,
        "_inverses",
        lambda self, losses, sign: exact(self, losses, sign) * (1 + 1e-9),
    )
    assert not same(sampled_gaussian(4.0, 0.5, interval=1e-2), expected)


def test_deltas_that_rise_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the library does: they are of no distribution."""
    exact = single_step._Sampled.get_delta_for_epsilon
    monkeypatch.setattr(
        single_step._Sampled, "get_delta_for_epsilon", lambda self, place: exact(self, -place)
    )
    with pytest.raises(PrivacyError, match="fall"):
        sampled_gaussian(4.0, 0.5, interval=1e-3)


def test_a_planted_search_that_ends_early_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step too soon."""
    shares = [0.25, 0.5, 0.25]
    expected = pld.from_mixture_gaussian_mechanism(
        1.0, [0.0, 1.0, 2.0], shares, value_discretization_interval=1e-2
    )
    exact = single_step._Mixed._searched
    assert same(mixed_gaussian(1.0, shares, interval=1e-2), expected)
    monkeypatch.setattr(
        single_step._Mixed,
        "_searched",
        lambda self, losses, bounds, precision: exact(self, losses, bounds, 4 * precision),
    )
    assert not same(mixed_gaussian(1.0, shares, interval=1e-2), expected)
    assert np.isfinite(expected.get_epsilon_for_delta(1e-5))
