"""Degree, committee and thresholds reach the stated levels, by sums that share no code."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from shared.errors import ConfigurationError
from shared.secagg.parameters import parameters_for, tail

CASES = [(n, c, d) for n in (41, 100, 1000) for c, d in ((0.05, 0.05), (0.1, 0.1), (0.2, 0.1))]


@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 40), st.integers(-1, 41))
def test_a_tail_is_hypergeometric(population: int, marked: int, drawn: int, at_least: int) -> None:
    """As scipy has it, in floating point."""
    marked, drawn = min(marked, population), min(drawn, population)
    expected = stats.hypergeom(population, marked, drawn).sf(at_least - 1)
    assert float(tail(population, marked, drawn, at_least)) == pytest.approx(
        float(expected), abs=1e-12
    )


@pytest.mark.parametrize(("count", "corrupt", "dropped"), CASES)
def test_the_levels_are_reached_and_no_cheaper_ones_would(
    count: int, corrupt: float, dropped: float
) -> None:
    """Each event by scipy: 2⁻¹⁰⁰ for secrecy, 2⁻³⁰ for an honest round."""
    found = parameters_for(count, count, corrupt, dropped)
    bad, gone = int(count * corrupt + 1e-9), int(count * dropped + 1e-9)
    size, span = found.committee_size, found.span
    corrupt_there = 2 * found.threshold - size  # fewer than that leave no second answer
    assert stats.hypergeom(count, bad, size).sf(corrupt_there - 1) <= 2.0**-100
    assert stats.hypergeom(count, gone, size).sf(size - found.threshold) <= 2.0**-30
    assert found.threshold > corrupt_there - 1
    if not found.complete:
        assert count * stats.hypergeom(count, bad, span).sf(found.present - 1) <= 2.0**-100
        assert count * stats.hypergeom(count, gone, span).sf(span - found.present) <= 2.0**-30
        fewer = span - 1
        works = any(
            count * stats.hypergeom(count, bad, fewer).sf(present - 1) <= 2.0**-100
            and count * stats.hypergeom(count, gone, fewer).sf(fewer - present) <= 2.0**-30
            for present in range(1, fewer + 1)
        )
        assert not works


@pytest.mark.parametrize(
    ("count", "degree", "committee", "threshold"), [(100, 42, 31, 21), (1000, 158, 125, 91)]
)
def test_parameters_at_a_tenth_of_each_are_known(
    count: int, degree: int, committee: int, threshold: int
) -> None:
    """γ = δ = 0.1; what docs/adr/0011 says of them."""
    found = parameters_for(count, count, 0.1, 0.1)
    assert (found.degree, found.committee_size, found.threshold) == (degree, committee, threshold)


@pytest.mark.parametrize("count", [3, 4, 20, 40])
def test_few_clients_all_mask_with_all(count: int) -> None:
    """And all hold shares."""
    found = parameters_for(count, count, 0.1, 0.1)
    assert found.complete
    assert (found.degree, found.committee_size) == (count - 1, count)


def test_a_graph_that_cannot_be_sparse_is_complete() -> None:
    """Where no row of half the circle is sure to hold an honest survivor."""
    assert parameters_for(41, 41, 0.45, 0.25).complete


@pytest.mark.parametrize(
    ("count", "corrupt", "dropped", "why"),
    [
        (2, 0.0, 0.0, "at least 3"),
        (10, 1.0, 0.0, "fractions"),
        (10, 0.0, -0.1, "fractions"),
        (10, 0.5, 0.4, "hides nobody"),
        (10, 0.3, 0.4, "no committee"),
        (100, 0.4, 0.4, "no committee"),
    ],
)
def test_what_cannot_be_promised_is_refused(
    count: int, corrupt: float, dropped: float, why: str
) -> None:
    """With the reason."""
    with pytest.raises(ConfigurationError, match=why):
        parameters_for(count, count, corrupt, dropped)


def test_a_tail_that_cannot_be_is_nothing() -> None:
    """Three marked of five: no draw of two holds three."""
    assert tail(5, 3, 2, 3) == Fraction(0)


def test_the_corrupt_are_counted_over_the_roster() -> None:
    """A server that asks few may ask all of them; more than fit are as many as are asked."""
    assert (
        parameters_for(50, 100, 0.1, 0.1).corrupt == 10 == parameters_for(100, 100, 0.1, 0).corrupt
    )
    with pytest.raises(ConfigurationError, match="hides nobody: got 10 with 10 corrupt"):
        parameters_for(10, 1000, 0.1, 0.0)
    with pytest.raises(ConfigurationError, match="of the roster"):
        parameters_for(11, 10, 0.1, 0.1)


@pytest.mark.parametrize("helpers", [1, 2, 6])
def test_helpers_are_three_at_least_and_of_those_asked(helpers: int) -> None:
    """With fewer, one honest one is not much to ask for."""
    with pytest.raises(ConfigurationError, match="helpers"):
        parameters_for(5, 5, 0.1, 0.1, helpers)
    assert parameters_for(5, 5, 0.1, 0.1, 3).survivors == 5
