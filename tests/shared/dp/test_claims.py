"""Claims: the right mechanism against the right observer, planned and spent."""

import json
import math
from collections.abc import Mapping

import pytest
from dp_accounting import dp_event as dp

from shared.config import RunConfig
from shared.dp.accounting import epsilon_of
from shared.dp.claim import Claim
from shared.dp.claims import SpendingMeter, check_budget, claims_so_far, planned_claims
from shared.dp.events import Charge
from shared.dp.mechanisms import RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.errors import BudgetExhausted

CLIENT: dict[str, str | int | float] = {
    "privacy.unit": "client",
    "population.size": 100,
    "cohort.sample_rate": 0.2,
    "privacy.noise_multiplier": 1.5,
    "privacy.delta": 1e-4,
    "rounds": 20,
}
RECORD: dict[str, str | int | float] = {
    "training.sample_rate": 0.2,
    "privacy.noise_multiplier": 1.22,
    "rounds": 60,
}


def plan_of(raw: Mapping[str, str | int | float]) -> PrivacyPlan:
    """The plan of a configuration."""
    return PrivacyPlan.from_config(RunConfig.from_run_config(raw))


def by_observer(claims: tuple[Claim, ...]) -> dict[str, Claim]:
    """Claims by their observer."""
    return {claim.adversary: claim for claim in claims}


def charged(plan: PrivacyPlan, *cohorts: tuple[str, ...]) -> list[Charge]:
    """One charge a cohort."""
    return [
        Charge(round_number=i, attempt=1, clients=cohort, event=plan.mechanism.round_event())
        for i, cohort in enumerate(cohorts, start=1)
    ]


def test_at_record_level_every_observer_has_the_site_s_own_bound() -> None:
    """The server sees each noisy update; what others see is computed from those."""
    claims = by_observer(planned_claims(plan_of(RECORD)))
    assert {claim.epsilon for claim in claims.values()} == {7.9534}
    assert {claim.no_amplification_epsilon for claim in claims.values()} == {46.4714}
    assert {claim.unit for claim in claims.values()} == {"record"}
    assert {claim.adjacency for claim in claims.values()} == {"add_or_remove_one"}


def test_at_client_level_nothing_is_promised_against_the_server() -> None:
    """It holds each clipped update before the noise; the others have the sampled bound."""
    claims = by_observer(planned_claims(plan_of(CLIENT)))
    assert math.isinf(claims["server_each_update"].epsilon)
    assert "before the noise" in claims["server_each_update"].statement
    assert claims["released_model"].epsilon == claims["every_global_model"].epsilon < 10
    bare = claims["released_model"].no_amplification_epsilon
    assert bare > claims["released_model"].epsilon
    assert claims["released_model"].adjacency == "zero_out"


def test_without_privacy_every_claim_is_infinite_and_says_so() -> None:
    """No way to hide it."""
    for claim in planned_claims(plan_of({"privacy.unit": "none"})):
        assert math.isinf(claim.epsilon)
        assert "no differential privacy" in claim.statement
        assert claim.to_json()["epsilon"] == "inf"


def test_the_record_level_claim_is_that_of_whoever_was_asked_most() -> None:
    """Charges count, answered or not; being asked twice costs two rounds."""
    plan = plan_of(RECORD)
    charges = charged(plan, ("a", "b"), ("a",), ("c",))
    spent = by_observer(claims_so_far(plan, charges))["server_each_update"]
    alone = by_observer(claims_so_far(plan, charged(plan, ("x",), ("x",))))["server_each_update"]
    assert spent.epsilon == alone.epsilon
    assert spent.planned_epsilon == 7.9534


def test_sampling_of_clients_amplifies_no_record_level_claim() -> None:
    """The server knows whom it asked."""
    few = plan_of(RECORD | {"cohort.sample_rate": 0.1})
    assert planned_claims(few)[0].epsilon == planned_claims(plan_of(RECORD))[0].epsilon


def test_the_client_level_claim_counts_every_round_even_of_an_empty_cohort() -> None:
    """Whoever was not drawn might have been."""
    plan = plan_of(CLIENT)
    spent = by_observer(claims_so_far(plan, charged(plan, (), ("a",))))["released_model"]
    two = epsilon_of(plan.mechanism.round_event(), plan.delta, "zero_out")
    assert spent.epsilon > two.epsilon


def test_before_the_first_charge_nothing_is_spent() -> None:
    """Epsilon 0 for all finite claims."""
    plan = plan_of(RECORD)
    assert {claim.epsilon for claim in claims_so_far(plan, [])} == {0.0}
    assert SpendingMeter(plan).after([]) == 0.0


def test_a_claim_states_unit_adjacency_observer_and_delta_beside_epsilon() -> None:
    """In words and in fields; its JSON is strict."""
    claim = planned_claims(plan_of(RECORD))[0]
    for part in ("7.9534", "1e-05", "record", "add or remove one", "every update", "46.4714"):
        assert part in claim.statement
    assert json.loads(json.dumps(claim.to_json(), allow_nan=False))["unit"] == "record"


@pytest.mark.parametrize("raw", [RECORD, CLIENT], ids=["record", "client"])
def test_the_meter_is_never_below_the_report_nor_above_the_plan(
    raw: dict[str, str | int | float],
) -> None:
    """What a person watches may be a trifle too high, never too low."""
    plan = plan_of(raw)
    meter = SpendingMeter(plan)
    planned = max(c.epsilon for c in planned_claims(plan) if math.isfinite(c.epsilon))
    before = 0.0
    for count in (1, 5, plan.rounds):
        charges = charged(plan, *[("a",)] * count)
        shown = meter.after(charges)
        reported = max(c.epsilon for c in claims_so_far(plan, charges) if math.isfinite(c.epsilon))
        assert max(before, reported) <= shown <= planned
        before = shown
    assert meter.after(charged(plan, *[("a",)] * (plan.rounds + 1))) > planned


def test_without_privacy_the_meter_is_infinite() -> None:
    """From the first round on, and before."""
    assert math.isinf(SpendingMeter(plan_of({"privacy.unit": "none"})).after([]))


def test_a_plan_over_its_budget_is_refused_with_both_numbers() -> None:
    """Before anything is released; a plan within it passes."""
    assert check_budget(plan_of(RECORD))
    with pytest.raises(BudgetExhausted, match=r"at most epsilon 7\.9 .* got 7\.9534"):
        check_budget(plan_of(RECORD | {"privacy.epsilon_budget": 7.9}))
    assert check_budget(plan_of({"privacy.unit": "none"}))


def test_a_plan_whose_epsilon_cannot_be_bounded_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Infinity is above every budget; only a plan that promises nothing may have it."""
    monkeypatch.setattr(RecordPrivacy, "round_event", lambda _self: dp.NonPrivateDpEvent())
    with pytest.raises(BudgetExhausted, match="got inf"):
        check_budget(plan_of(RECORD))
    assert "cannot be bounded" in planned_claims(plan_of(RECORD))[0].statement


def test_claims_are_of_what_was_charged_not_of_what_was_planned() -> None:
    """A release with less noise than planned shows, in the claim and on the meter."""
    plan = plan_of(RECORD)
    weak = dp.PoissonSampledDpEvent(0.2, dp.GaussianDpEvent(0.6))
    honest = charged(plan, ("a", "b"), ("a",))
    spoilt = [*honest, Charge(round_number=3, attempt=1, clients=("b",), event=weak)]
    claim = claims_so_far(plan, spoilt)[0]
    both = dp.ComposedDpEvent([plan.mechanism.round_event(), weak])
    assert claim.epsilon == epsilon_of(both, plan.delta, "add_or_remove_one").epsilon
    assert claim.epsilon > claims_so_far(plan, honest)[0].epsilon
    bare = dp.ComposedDpEvent([dp.GaussianDpEvent(1.22), dp.GaussianDpEvent(0.6)])
    expected = epsilon_of(bare, plan.delta, "add_or_remove_one").epsilon
    assert claim.no_amplification_epsilon == expected
    assert SpendingMeter(plan).after(spoilt) >= claim.epsilon


def test_a_statement_never_rounds_its_epsilon_down() -> None:
    """All digits of a large one: six would make it smaller."""
    claim = planned_claims(plan_of(RECORD | {"rounds": 3000}))[0]
    assert f"e^{claim.epsilon} plus" in claim.statement
    assert f"epsilon {claim.no_amplification_epsilon}." in claim.statement
