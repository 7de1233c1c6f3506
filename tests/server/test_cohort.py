"""Cohorts are Poisson samples of the roster, capped, and known to the server's stream alone."""

import numpy as np
import pytest
from scipy import stats

from server.cohort import draw_cohort
from shared.dp.randomness import SeededRandomness
from tests.server.toy import plan
from tests.significance import has_rate

CLIENTS = tuple(f"site-{number:02d}" for number in range(50))
RATE = 0.3
PLAN = plan({"population.size": 50, "cohort.sample_rate": RATE})


def draw(round_number: int, attempt: int = 1) -> tuple[str, ...]:
    """One cohort of fifty clients."""
    return draw_cohort(
        CLIENTS, PLAN, SeededRandomness(3), round_number=round_number, attempt=attempt
    )


def test_a_cohort_is_in_order_and_the_same_for_the_same_round_and_attempt() -> None:
    """That is what makes a seeded run repeatable; another round or attempt draws anew."""
    assert list(draw(1)) == sorted(set(draw(1)))
    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert draw(1) != draw(1, attempt=2)


def test_everybody_is_asked_at_rate_one() -> None:
    """No sampling."""
    everybody = plan({"population.size": 50})
    assert (
        draw_cohort(CLIENTS, everybody, SeededRandomness(3), round_number=1, attempt=1) == CLIENTS
    )


@pytest.mark.statistical
def test_each_client_is_asked_at_the_public_rate_independently() -> None:
    """Inclusion and joint inclusion of two: a cohort of fixed size would fail the second."""
    rounds = 2000
    asked = np.array([[name in cohort for name in CLIENTS] for cohort in map(draw, range(rounds))])
    assert has_rate(int(asked.sum()), asked.size, RATE)
    # About 0.12 for a Poisson sample; 1 for fifteen of fifty without replacement.
    exact = float(stats.binom.pmf(15, len(CLIENTS), RATE))
    assert has_rate(int((asked.sum(1) == 15).sum()), rounds, exact)
    assert not has_rate(rounds, rounds, exact)
    assert not has_rate(int(asked.sum()), asked.size, RATE * 1.1)


def test_a_cohort_is_never_larger_than_the_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event that is accounted has the cap in it."""
    monkeypatch.setattr(type(PLAN), "cap", 4)
    assert {len(draw(number)) for number in range(1, 20)} == {4}


def test_an_absent_client_is_as_one_that_was_drawn_and_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All others are drawn as if everybody were there, under a cap that binds too."""
    present, found = CLIENTS[:30], []
    for cap in (50, 4):
        monkeypatch.setattr(type(PLAN), "cap", cap)
        for number in range(1, 20):
            part = draw_cohort(present, PLAN, SeededRandomness(3), round_number=number, attempt=1)
            assert part == tuple(name for name in draw(number) if name in present)
            found.append(len(part))
    # A draw of four among those who are there would ask them too often.
    assert min(found[-19:]) < 4


def test_names_are_in_order_whatever_their_places() -> None:
    """Places are in the order of joining."""
    places = CLIENTS[::-1]
    cohort = draw_cohort(places, PLAN, SeededRandomness(3), round_number=1, attempt=1)
    assert list(cohort) == sorted(cohort)
    assert cohort != draw(1)


def test_with_correlated_noise_each_client_is_asked_once_in_b_rounds() -> None:
    """For ever the same distance; the order is that of no names, and needs no state."""
    rotating = plan(
        {
            "population.size": 50,
            "privacy.correlation": "banded",
            "privacy.min_separation": 8,
            "rounds": 24,
        }
    )

    def cohort(number: int) -> tuple[str, ...]:
        randomness = SeededRandomness(number)
        return draw_cohort(CLIENTS, rotating, randomness, round_number=number, attempt=1)

    cohorts = [cohort(number) for number in range(1, 25)]
    assert sorted(client for one in cohorts[:8] for client in one) == sorted(CLIENTS)
    assert cohorts[:8] == cohorts[8:16] == cohorts[16:]
    assert cohorts[0] != CLIENTS[: len(cohorts[0])]
    assert {len(one) for one in cohorts} == {6, 7}
