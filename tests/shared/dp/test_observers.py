"""Who is promised what: noise alone makes an epsilon finite, masks never do."""

import math
from collections.abc import Mapping

import pytest
from dp_accounting import dp_event as dp

from shared.dp.accounting import epsilon_of
from shared.dp.claims import SpendingMeter, check_budget, claims_so_far, planned_claims
from shared.dp.integer_event import IntegerNoiseDpEvent
from shared.dp.mechanisms import ClientPrivacy
from shared.dp.plan import PrivacyPlan
from tests.shared.dp.test_claims import by_observer, charged, plan_of

EACH, SUMS, MODELS, LAST = (
    "server_each_update", "server_secagg_sum", "every_global_model", "released_model",
)  # fmt: skip
RECORD: Mapping[str, str | float] = {"privacy.unit": "record"}
CLIENT: Mapping[str, str | float] = {"privacy.unit": "client", "cohort.sample_rate": 0.6}
MASKED: Mapping[str, str | float] = {"secure_aggregation": "on"}
SHARED: Mapping[str, str | float] = {"privacy.noise": "distributed"}
COMMON: Mapping[str, str | float] = {
    "population.size": 20, "rounds": 10, "privacy.noise_multiplier": 4.0, "privacy.delta": 1e-4,
    "privacy.epsilon_budget": 100.0, "training.sample_rate": 0.2,
}  # fmt: skip


def plan(*changes: Mapping[str, str | float]) -> PrivacyPlan:
    """A plan with these changes, in their order."""
    raw: dict[str, str | int | float] = dict(COMMON)
    for change in changes:
        raw |= dict(change)
    return plan_of(raw)


@pytest.mark.parametrize(
    ("changes", "finite", "infinite"),
    [
        ((RECORD,), (EACH, MODELS, LAST), ()),
        ((CLIENT,), (MODELS, LAST), (EACH,)),
        ((RECORD, MASKED), (EACH, SUMS, MODELS, LAST), ()),
        ((RECORD, SHARED), (SUMS, MODELS, LAST), (EACH,)),
        ((CLIENT, MASKED), (MODELS, LAST), (EACH, SUMS)),
        ((CLIENT, SHARED), (SUMS, MODELS, LAST), (EACH,)),
        (({"privacy.unit": "none"},), (), (EACH, MODELS, LAST)),
        (({"privacy.unit": "none"}, MASKED), (), (EACH, SUMS, MODELS, LAST)),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value[:1], tuple) else None,
)
def test_whom_a_claim_is_made_against(
    changes: tuple[Mapping[str, str | float], ...],
    finite: tuple[str, ...],
    infinite: tuple[str, ...],
) -> None:
    """The truth table; all finite claims of a plan are of one epsilon, planned and spent."""
    promised = plan(*changes)
    charges = charged(promised, ("a",), ("a", "b"))
    for claims in (planned_claims(promised), claims_so_far(promised, charges)):
        found = by_observer(claims)
        assert {name for name, c in found.items() if math.isfinite(c.epsilon)} == set(finite)
        assert {name for name, c in found.items() if math.isinf(c.epsilon)} == set(infinite)
        assert len({found[name].epsilon for name in finite}) <= 1
        for name in infinite:
            assert math.isinf(found[name].no_amplification_epsilon)
            assert math.isinf(found[name].planned_epsilon)
            assert found[name].statement.startswith("Nothing is promised")
    assert [claim.id for claim in claims] == [f"c{i}" for i in range(1, len(claims) + 1)]


def test_the_server_of_sums_stands_after_the_server_of_updates() -> None:
    """And is there under secure aggregation alone."""
    names = [claim.adversary for claim in planned_claims(plan(RECORD, SHARED))]
    assert names == [EACH, SUMS, MODELS, LAST]
    [sums] = [c for c in planned_claims(plan(RECORD, MASKED)) if c.adversary == SUMS]
    assert "sum of the updates of at least t clients, once for each attempt" in sums.sees
    assert SUMS not in by_observer(planned_claims(plan(RECORD)))


@pytest.mark.parametrize(
    ("changes", "observer", "why"),
    [
        ((RECORD, SHARED), EACH, "only its site's share of the noise, and is hidden by the masks"),
        ((CLIENT, SHARED), EACH, "only its site's share of the noise, and is hidden by the masks"),
        ((CLIENT, MASKED), EACH, "no noise is in an update, which is hidden by the masks"),
        ((CLIENT, MASKED), SUMS, "adds the noise itself, and receives the sum of each round"),
        ((CLIENT,), EACH, "receives each clipped update before the noise is added"),
        (({"privacy.unit": "none"}, MASKED), SUMS, "no differential privacy"),
    ],
    ids=str,
)
def test_what_is_not_promised_has_a_reason(
    changes: tuple[Mapping[str, str | float], ...], observer: str, why: str
) -> None:
    """Masks are named as what they are: no noise."""
    assert why in by_observer(planned_claims(plan(*changes)))[observer].statement


@pytest.mark.parametrize("unit", [RECORD, CLIENT], ids=["record", "client"])
def test_shared_noise_says_what_it_rests_on(unit: Mapping[str, str | float]) -> None:
    """Corrupt share, roster, unmodified clients, ciphers, survivors; at record level the draw."""
    shared = plan(unit, SHARED, {"aggregation.corrupt_fraction": 0.15})
    for claim in planned_claims(shared)[1:]:
        for part in (
            "at most 0.15 of the population works with the server",
            "the roster of identities came by a channel that the server cannot rewrite",
            "every site runs this client unmodified",
            "nobody breaks the ciphers",
            "any t - c honest survivors carry the whole noise",
        ):
            assert part in claim.statement
        assert ("draw of records stays secret" in claim.statement) is (unit is RECORD)


def test_whole_noise_under_masks_rests_on_the_server_that_adds_it() -> None:
    """At client level; at record level on the sites, as ever."""
    [claim] = [c for c in planned_claims(plan(CLIENT, MASKED)) if c.adversary == LAST]
    assert "sees the sum of each round before the noise" in claim.statement
    assert "draw of the cohort" not in claim.statement
    [claim] = [c for c in planned_claims(plan(RECORD, MASKED)) if c.adversary == LAST]
    assert "every site runs this client unmodified" in claim.statement


@pytest.mark.parametrize("change", [MASKED, SHARED], ids=["masked", "shared"])
@pytest.mark.parametrize("rate", [0.2, 0.6, 1.0])
def test_a_cohort_that_is_told_never_amplifies(
    change: Mapping[str, str | float], rate: float
) -> None:
    """Who is masked with whom is who is asked; queries are of such cohorts too."""
    few = {"cohort.sample_rate": rate, "evaluation.private_every": 5, "population.size": 60}
    told = plan(CLIENT, few, change)
    assert isinstance(told.mechanism, ClientPrivacy)
    event = told.mechanism.round_event()
    assert event == told.mechanism.round_event_without_amplification()
    noise = IntegerNoiseDpEvent if change is SHARED else dp.GaussianDpEvent
    assert event == noise(4.0)
    assert told.charge_event("evaluate", 5) == noise(10.0)
    claim = planned_claims(told)[-1]
    assert claim.epsilon == claim.no_amplification_epsilon
    secret = plan(CLIENT, few)
    hidden = planned_claims(secret)[-1].epsilon
    assert claim.epsilon > hidden if rate < 1.0 or change is SHARED else claim.epsilon == hidden


def test_the_claim_under_shared_noise_is_of_integer_noise() -> None:
    """RDP gives it; the PLD beside it is of continuous noise, and below."""
    shared, whole = plan(RECORD, SHARED), plan(RECORD, MASKED)
    claim = by_observer(planned_claims(shared))[SUMS]
    assert claim.method == "rdp"
    assert claim.epsilon > by_observer(planned_claims(whole))[SUMS].epsilon
    step = dp.PoissonSampledDpEvent(0.2, IntegerNoiseDpEvent(4.0))
    expected = epsilon_of(dp.SelfComposedDpEvent(step, 10), 1e-4, "add_or_remove_one")
    assert claim.epsilon == expected.epsilon
    assert claim.cross_check["pld"] < claim.cross_check["rdp"]
    assert claim.no_amplification_epsilon > claim.epsilon


@pytest.mark.parametrize("unit", [RECORD, CLIENT], ids=["record", "client"])
def test_the_meter_and_the_budget_know_shared_noise(unit: Mapping[str, str | float]) -> None:
    """As they know any other."""
    shared = plan(unit, SHARED)
    assert check_budget(shared)
    meter = SpendingMeter(shared)
    for count in (1, 10):
        charges = charged(shared, *[("a",)] * count)
        claims = by_observer(claims_so_far(shared, charges))
        assert claims[SUMS].epsilon <= meter.after(charges) <= claims[SUMS].planned_epsilon
