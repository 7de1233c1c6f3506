"""What a plan would cost: the report's number, and tables that are never below it."""

from dataclasses import replace

import pytest

from shared.dp.claims import planned_claims
from shared.dp.outlook import Outlook
from shared.dp.plan import PrivacyPlan
from tests.server.toy import plan

CLIENT = Outlook(unit="client", population=1000, sample_rate=0.05, rounds=200, steps=1, delta=1e-6)
RECORD = Outlook(unit="record", population=20, sample_rate=0.3, rounds=60, steps=1, delta=1e-5)
SHARED = [replace(CLIENT, distributed=True), replace(RECORD, distributed=True)]


def the_run(outlook: Outlook, noise: float) -> PrivacyPlan:
    """The plan of a run with these settings."""
    return plan(
        {
            "privacy.unit": outlook.unit,
            "privacy.noise": "distributed" if outlook.distributed else "whole",
            "privacy.noise_multiplier": noise,
            "privacy.delta": outlook.delta,
            "population.size": outlook.population,
            "cohort.sample_rate": outlook.sample_rate if outlook.unit == "client" else 1.0,
            "training.sample_rate": outlook.sample_rate if outlook.unit == "record" else 1.0,
            "rounds": outlook.rounds,
        }
    )


@pytest.mark.parametrize(
    ("outlook", "noise"), [(CLIENT, 1.2), (RECORD, 1.63), (SHARED[0], 6.0), (SHARED[1], 1.75)]
)
def test_the_outlook_is_what_the_run_will_claim(outlook: Outlook, noise: float) -> None:
    """One accountant, one mechanism: with and without amplification."""
    claim = planned_claims(the_run(outlook, noise))[-1]
    assert outlook.claim(noise).epsilon == claim.epsilon
    assert outlook.claim_without_amplification(noise).epsilon == claim.no_amplification_epsilon
    assert outlook.adjacency.value == claim.adjacency


def test_the_default_federation_is_found_again() -> None:
    """Known answer: 1.63 costs 7.9279, and a target of 8 needs a little less."""
    assert RECORD.claim(1.63).epsilon == 7.9279
    assert 1.6 < RECORD.noise_for(8.0) < 1.63


@pytest.mark.parametrize(
    ("outlook", "noise"), [(CLIENT, 1.2), (RECORD, 1.63), (SHARED[0], 6.0), (SHARED[1], 1.75)]
)
def test_curves_end_at_the_plan_and_are_monotone(outlook: Outlook, noise: float) -> None:
    """Epsilon grows with rounds and as delta shrinks; the plan's own delta is in the table."""
    rounds, deltas = outlook.over_rounds(noise), outlook.over_delta(noise)
    claim = outlook.claim(noise).epsilon
    assert rounds[-1][0] == outlook.rounds
    assert claim <= rounds[-1][1] <= 1.01 * claim
    assert dict(deltas)[outlook.delta] == rounds[-1][1]
    for curve in (rounds, deltas):
        values = [epsilon for _, epsilon in curve]
        assert values == sorted(values)


def test_the_table_holds_the_plan_and_falls_with_noise() -> None:
    """Each row another noise, each column another cohort, at most everybody."""
    table = RECORD.what_if(1.63)
    assert list(RECORD.rates()) == [0.15, 0.3, 0.6, 1.0]
    rows = {noise: dict(row) for noise, row in table}
    assert rows[1.63][0.3] == RECORD.coarse_epsilon(1.63)
    for rate in RECORD.rates():
        column = [dict(row)[rate] for _, row in table]
        assert column == sorted(column, reverse=True)
