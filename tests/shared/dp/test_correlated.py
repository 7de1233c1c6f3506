"""Correlated noise: the sensitivity by brute force, the noise by its matrix, the gain."""

import itertools
import math
from functools import cache

import numpy as np
import pytest
from dp_accounting import dp_event as dp
from numpy.typing import NDArray

from shared.config import Scalar
from shared.dp.accounting import epsilon_of
from shared.dp.claims import SpendingMeter, claims_so_far, planned_claims
from shared.dp.correlated import (
    BandedNoise,
    TreeNoise,
    banded_sensitivity,
    root_coefficients,
    tree_sensitivity,
)
from shared.dp.events import Charge
from shared.dp.mechanisms import Adjacency, CorrelatedPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import SeededRandomness
from shared.errors import ConfigurationError, MessageError, StateError
from tests.server.toy import plan

Matrix = NDArray[np.float64]


def banded_matrix(rounds: int, bands: int) -> Matrix:
    """C as a matrix."""
    coefficients = root_coefficients(bands)
    matrix = np.zeros((rounds, rounds))
    for shift, value in enumerate(coefficients[:rounds]):
        matrix += value * np.eye(rounds, k=-shift)
    return matrix


def tree_matrix(rounds: int) -> Matrix:
    """Row t: the last 2^l rounds, 2^l the largest power of two that divides t."""
    matrix = np.zeros((rounds, rounds))
    for number in range(1, rounds + 1):
        matrix[number - 1, number - (number & -number) : number] = 1.0
    return matrix


@cache
def patterns(rounds: int, most: int, separation: int) -> list[tuple[int, ...]]:
    """Every way to take part."""
    return [
        chosen
        for count in range(1, most + 1)
        for chosen in itertools.combinations(range(rounds), count)
        if all(b - a >= separation for a, b in itertools.pairwise(chosen))
    ]


def brute_force(matrix: Matrix, rounds: int, most: int, separation: int) -> float:
    """Largest ‖Cx‖ over all patterns, each contribution of norm 1 in the worst direction.

    For entries that are not negative the worst direction is one and the same each time.
    """
    return max(
        float(np.linalg.norm(matrix[:, list(chosen)].sum(axis=1)))
        for chosen in patterns(rounds, most, separation)
    )


@pytest.mark.parametrize(
    ("rounds", "most", "separation", "bands"),
    [(12, 3, 4, 4), (12, 4, 3, 2), (10, 1, 9, 5), (9, 9, 1, 1)],
)
def test_the_banded_sensitivity_is_what_brute_force_finds(
    rounds: int, most: int, separation: int, bands: int
) -> None:
    """Never below it; equal where k participations fit with whole columns."""
    found = brute_force(banded_matrix(rounds, bands), rounds, most, separation)
    claimed = banded_sensitivity(bands, most)
    assert found <= claimed * (1 + 1e-12)
    assert claimed <= found * 1.1


TREES = [
    (rounds, most, separation)
    for rounds in range(1, 17)
    for separation in (1, 2, 3, 4, 7)
    for most in (1, 2, 3, 5)
    if most <= -(-rounds // separation)
]


def test_the_tree_sensitivity_is_never_below_brute_force() -> None:
    """Of all small trees; at most a third above, and equal for one participation."""
    for rounds, most, separation in TREES:
        found = brute_force(tree_matrix(rounds), rounds, most, separation)
        claimed = tree_sensitivity(rounds, most, separation)
        assert found <= claimed * (1 + 1e-12), (rounds, most, separation)
        assert claimed <= 1.34 * found, (rounds, most, separation)
        if most == 1:
            assert claimed == pytest.approx(found)


def test_a_tree_counted_as_if_nobody_came_twice_would_under_report() -> None:
    """Planted bug: √k times one participation; nodes that hold two count fourfold."""
    found = brute_force(tree_matrix(16), 16, 4, 4)
    assert found > math.sqrt(4) * tree_sensitivity(16, 1, 4)


@pytest.mark.parametrize("matrix", ["tree", "banded"])
def test_a_repeated_round_costs_what_its_row_tells(matrix: str) -> None:
    """Its multiplier is that of all rows, times all sensitivity over the row's, by brute force."""
    bands, separation, most, rounds = 3, 3, 4, 12
    found = CorrelatedPrivacy(
        clipping_norm=2.0, noise_multiplier=1.5, population=9, rounds=rounds, matrix=matrix,
        bands=bands, min_separation=separation, max_participations=most,
    )  # fmt: skip
    whole = tree_matrix(rounds) if matrix == "tree" else banded_matrix(rounds, bands)
    for number in range(1, rounds + 1):
        row = brute_force(whole[number - 1 : number], rounds, most, separation)
        event = found.repeat_event(number)
        assert event.noise_multiplier == pytest.approx(1.5 * found.sensitivity / row)
        assert event.noise_multiplier > 1.5


def test_more_bands_than_separation_would_under_report() -> None:
    """Planted bug: overlapping columns add up, √k·‖c‖ is too small; the plan refuses it."""
    assert brute_force(banded_matrix(12, 6), 12, 4, 2) > banded_sensitivity(6, 4)
    with pytest.raises(ConfigurationError, match=r"privacy\.bands"):
        plan({"privacy.correlation": "banded", "privacy.bands": 6, "privacy.min_separation": 2})


def test_the_known_figure_of_a_tree_is_found() -> None:
    """1024 rounds, one participation, node noise 7: by RDP 2.28 at 10⁻⁶, exactly 2.12."""
    multiplier = 7.0 / tree_sensitivity(1024, 1, 1024)
    found = epsilon_of(dp.GaussianDpEvent(multiplier), 1e-6, Adjacency.ZERO_OUT)
    assert found.rdp == pytest.approx(2.28, abs=0.01)
    assert found.epsilon == 2.1248


def drawn(noise: BandedNoise | TreeNoise, rounds: int) -> Matrix:
    """The noise of each round, shape (rounds, d)."""
    return np.array(
        [noise.next(SeededRandomness(1).stream("noise", number)) for number in range(rounds)]
    )


def fresh(rounds: int, dimension: int, stddev: float) -> Matrix:
    """The independent noise that was drawn for each round."""
    streams = [SeededRandomness(1).stream("noise", number) for number in range(rounds)]
    return np.array([stream.gaussian(dimension) * stddev for stream in streams])


def test_tree_noise_is_the_inverse_matrix_times_independent_noise() -> None:
    """C·y = z, row for row: what is accounted is what is drawn."""
    noise = drawn(TreeNoise(3, 2.0, 13), 13)
    assert tree_matrix(13) @ noise == pytest.approx(fresh(13, 3, 2.0))


@pytest.mark.parametrize("bands", [1, 2, 5])
def test_banded_noise_is_the_inverse_matrix_times_independent_noise(bands: int) -> None:
    """C·y = z, row for row; one band is independent noise."""
    noise = drawn(BandedNoise(3, 2.0, bands), 9)
    assert banded_matrix(9, bands) @ noise == pytest.approx(fresh(9, 3, 2.0))


def test_a_prefix_of_tree_noise_is_the_sum_of_its_nodes() -> None:
    """Prefix 7 = nodes of 4, 2 and 1 rounds, each with the noise of the round that ended it."""
    noise, nodes = drawn(TreeNoise(2, 1.5, 7), 7), fresh(7, 2, 1.5)
    assert noise.sum(axis=0) == pytest.approx(nodes[3] + nodes[5] + nodes[6])
    assert noise[:6].sum(axis=0) == pytest.approx(nodes[3] + nodes[5])
    assert noise[:4].sum(axis=0) == pytest.approx(nodes[3])


def largest_prefix(noise: CorrelatedPrivacy) -> float:
    """Root mean square of the worst prefix sum's noise, per coordinate."""
    prefixes = np.cumsum(drawn(noise.noise(4000), noise.rounds), axis=0)  # type: ignore[arg-type]
    return float(np.sqrt((prefixes**2).mean(axis=1)).max())


def correlated(matrix: str, bands: int = 8) -> CorrelatedPrivacy:
    """64 rounds, 8 participations 8 apart, noise multiplier 1."""
    return CorrelatedPrivacy(
        clipping_norm=1.0, noise_multiplier=1.0, population=100, rounds=64, matrix=matrix,
        bands=bands, min_separation=8, max_participations=8,
    )  # fmt: skip


def test_at_equal_epsilon_the_banded_prefix_has_less_noise() -> None:
    """Against independent noise for the same participations (one band)."""
    assert largest_prefix(correlated("banded")) < 0.7 * largest_prefix(correlated("banded", 1))


@pytest.mark.parametrize("matrix", ["tree", "banded"])
def test_its_state_goes_on_where_it_was(matrix: str) -> None:
    """And the state of another mechanism is refused."""
    whole, part, rest = (correlated(matrix).noise(3) for _ in range(3))
    expected = [whole.next(SeededRandomness(1).stream("n", number)) for number in range(9)]
    for number in range(5):
        part.next(SeededRandomness(1).stream("n", number))
    rest.restore(part.state())
    found = [rest.next(SeededRandomness(1).stream("n", number)) for number in range(5, 9)]
    assert np.array(found) == pytest.approx(np.array(expected[5:]), abs=0)
    other = correlated("tree" if matrix == "banded" else "banded").noise(3)
    with pytest.raises(StateError, match="another mechanism"):
        other.restore(part.state())


CORRELATED: dict[str, Scalar] = {
    "privacy.correlation": "banded",
    "privacy.min_separation": 4,
    "privacy.bands": 4,
    "population.size": 40,
    "rounds": 12,
}


def test_a_run_is_one_gaussian_however_many_of_its_rounds_are_done() -> None:
    """A prefix is post-processing of all; later rounds are charged nothing."""
    promise = plan(CORRELATED)
    whole = promise.mechanism.round_event()
    assert whole == promise.mechanism.round_event_without_amplification()
    gaussian = epsilon_of(dp.GaussianDpEvent(1.0), promise.delta, Adjacency.ZERO_OUT).epsilon
    assert planned_claims(promise)[-1].epsilon == gaussian
    charges = [
        Charge(round_number=number, attempt=1, clients=("a",), event=event)
        for number in (1, 2, 3)
        if (event := promise.charge_event("train", number)) is not None
    ]
    for done in (1, 3):
        claim = claims_so_far(promise, charges[:done])[-1]
        assert (claim.epsilon, claim.no_amplification_epsilon) == (gaussian, gaussian)
        assert "refuses to take part twice within 4 rounds" in claim.statement
    assert claims_so_far(promise, charges)[0].epsilon == math.inf


def test_a_repeated_round_is_charged_as_a_second_release_of_its_row() -> None:
    """Less than the whole run again, and never nothing."""
    promise = plan(CORRELATED)
    once = charges_of(promise, (1, 1), (2, 1), (3, 1))
    again = charges_of(promise, (1, 1), (2, 1), (2, 2), (3, 1))
    twice_all = [*once, *charges_of(promise, (1, 1))]
    spent = [claims_so_far(promise, found)[-1].epsilon for found in (once, again, twice_all)]
    assert spent[0] < spent[1] < spent[2]
    assert SpendingMeter(promise).after(again) >= spent[1]


def charges_of(promise: PrivacyPlan, *attempts: tuple[int, int]) -> list[Charge]:
    """Of (round, attempt) each."""
    return [
        Charge(round_number=number, attempt=attempt, clients=("a",), event=event)
        for number, attempt in attempts
        if (event := promise.charge_event("train", number, attempt)) is not None
    ]


def test_a_correlated_plan_survives_json_and_keeps_its_constants() -> None:
    """Divisor N/b; as many participations as fit."""
    promise = plan(CORRELATED)
    assert PrivacyPlan.parse(promise.canonical()) == promise
    assert promise.denominator == 10.0
    assert getattr(promise.mechanism, "max_participations", None) == 3
    with pytest.raises(MessageError):
        PrivacyPlan.parse(promise.canonical().replace('"bands":4', '"bands":5'))
    # Fewer rounds would have a smaller sensitivity than the run.
    with pytest.raises(MessageError, match="the plan's 12 rounds, got 11"):
        PrivacyPlan.parse(promise.canonical().replace('"rounds":12', '"rounds":11', 1))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cohort.sample_rate": 0.5}, r"leave cohort\.sample_rate at 1"),
        ({"privacy.max_participations": 2}, "last 8 rounds, got 12"),
        ({"privacy.unit": "record"}, "for privacy.unit = 'client'"),
    ],
)
def test_a_plan_that_the_accounting_does_not_cover_is_refused(
    change: dict[str, Scalar], said: str
) -> None:
    """Before anything is asked."""
    with pytest.raises(ConfigurationError, match=said):
        plan(CORRELATED | change)
