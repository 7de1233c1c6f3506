"""The plan: one object for mechanism and event, one text for one plan."""

import json
import math
from dataclasses import replace

import pytest
from dp_accounting import dp_event as dp
from hypothesis import given
from hypothesis import strategies as st

from shared.config import RunConfig
from shared.dp.mechanisms import Adjacency, ClientPrivacy, NoPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError, MessageError
from tests.strategies import clipping_norms, noise_multipliers, sample_rates

Raw = str | int | float
UNITS = ("record", "client", "none")


def plan_of(**raw: Raw) -> PrivacyPlan:
    """The plan of a configuration."""
    return PrivacyPlan.from_config(RunConfig.from_run_config(raw))


@given(st.sampled_from(UNITS), clipping_norms, noise_multipliers, sample_rates)
def test_a_plan_and_its_text_are_the_same_thing(
    unit: str, norm: float, noise: float, rate: float
) -> None:
    """parse(canonical) is the plan, and equal plans have equal digests."""
    raw: dict[str, Raw] = {
        "privacy.unit": unit,
        "privacy.clipping_norm": norm,
        "privacy.noise_multiplier": noise,
        "training.sample_rate": rate,
        "cohort.sample_rate": rate,
    }
    plan = plan_of(**raw)
    assert PrivacyPlan.parse(plan.canonical()) == plan
    assert PrivacyPlan.parse(plan.canonical()).digest() == plan.digest()


def test_the_digest_of_a_plan_never_changes() -> None:
    """Known answer: run folders and clients of another version must agree on it."""
    plan = PrivacyPlan(
        rounds=60,
        mechanism=RecordPrivacy(
            clipping_norm=1.0,
            noise_multiplier=1.22,
            sample_rate=0.2,
            steps_per_round=1,
            batch_size=100,
        ),
        population=20,
        cohort_sample_rate=1.0,
        delta=1e-5,
        epsilon_budget=8.0,
    )
    assert plan.canonical() == (
        '{"aggregation":null,"cohort_sample_rate":1.0,"delta":1e-05,"epsilon_budget":8.0,'
        '"evaluation":null,"mechanism":{"batch_size":100,"clipping_norm":1.0,"distributed":false,'
        '"kind":"record","noise_multiplier":1.22,'
        '"sample_rate":0.2,"steps_per_round":1},"population":20,"rounds":60,"statistics":null}'
    )
    assert plan.digest() == "ab215df529a0a12e86a10bcab2289e73e84bcea44c1cae17b4f78e94e27fb9d6"


def test_the_canonical_text_is_sorted_json_without_spaces() -> None:
    """So that a digest can be computed by anybody."""
    text = plan_of().canonical()
    content = json.loads(text)
    assert text == json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert content["mechanism"] == {
        "batch_size": 150,
        "clipping_norm": 0.5,
        "noise_multiplier": content["mechanism"]["noise_multiplier"],
        "sample_rate": content["mechanism"]["sample_rate"],
        "steps_per_round": 1,
        "distributed": False,
        "kind": "record",
    }


@pytest.mark.parametrize(
    "change",
    [
        {"privacy.noise_multiplier": 1.5},
        {"privacy.clipping_norm": 2.0},
        {"rounds": 61},
        {"training.sample_rate": 0.9},
        {"training.batch_size": 101},
        {"training.steps": 2},
        {"population.size": 21},
        {"privacy.delta": 1e-6},
        {"privacy.epsilon_budget": 9.0},
        {"privacy.unit": "none"},
    ],
)
def test_whatever_the_guarantee_rests_on_changes_the_digest(
    change: dict[str, Raw],
) -> None:
    """No promise can be changed under the same name."""
    assert plan_of(**change).digest() != plan_of().digest()


def client_plan(
    size: int, *, rate: float = 1.0, delta: float = 1e-5
) -> tuple[PrivacyPlan, ClientPrivacy]:
    """A plan at client level, and its mechanism."""
    raw: dict[str, Raw] = {"privacy.unit": "client", "privacy.delta": delta}
    plan = plan_of(**raw | {"population.size": size, "cohort.sample_rate": rate})
    assert isinstance(plan.mechanism, ClientPrivacy)
    return plan, plan.mechanism


def mechanism_with(**changes: object) -> dict[str, object]:
    """The default plan's mechanism with changes."""
    content: dict[str, object] = json.loads(plan_of().canonical())["mechanism"]
    return content | changes


def spoilt(**changes: object) -> str:
    """The default plan's text with top-level changes."""
    return json.dumps(json.loads(plan_of().canonical()) | changes)


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        spoilt(extra=1),
        json.dumps({"rounds": 3}),
        spoilt(rounds="60"),
        spoilt(rounds=60.0),
        spoilt(mechanism={"unit": "user"}),
        spoilt(mechanism=7),
        spoilt(mechanism={"unit": "none", "clipping_norm": 1.0}),
        spoilt(mechanism={"kind": "record"}),
        spoilt(mechanism={"unit": []}),
        spoilt(delta=float("nan")),
        spoilt(rounds=0),
        spoilt(rounds=10**400),
        spoilt(rounds=True),
        spoilt(mechanism=mechanism_with(noise_multiplier=0.0)),
        spoilt(mechanism=mechanism_with(noise_multiplier=float("inf"))),
        spoilt(mechanism=mechanism_with(sample_rate=1.5)),
        "[" * 100_000,
        "1" * 5000,
    ],
)
def test_a_text_that_is_not_exactly_a_plan_is_refused(text: str) -> None:
    """Unknown, missing and mistyped keys alike, and numbers that protect nothing."""
    with pytest.raises(MessageError):
        PrivacyPlan.parse(text)


def test_record_level_releases_sampled_gaussians() -> None:
    """steps × Poisson(q, Gaussian z), and without amplification the bare Gaussians."""
    mechanism = RecordPrivacy(
        clipping_norm=2.0, noise_multiplier=1.5, sample_rate=0.2, steps_per_round=3, batch_size=10
    )
    step = dp.PoissonSampledDpEvent(0.2, dp.GaussianDpEvent(1.5))
    assert mechanism.round_event() == dp.SelfComposedDpEvent(step, 3)
    bare = dp.SelfComposedDpEvent(dp.GaussianDpEvent(1.5), 3)
    assert mechanism.round_event_without_amplification() == bare
    assert mechanism.noise_stddev == 3.0
    assert mechanism.adjacency is Adjacency.ADD_OR_REMOVE_ONE


def test_at_rate_one_no_amplification_is_claimed() -> None:
    """A full batch is a plain Gaussian."""
    mechanism = RecordPrivacy(
        clipping_norm=1.0, noise_multiplier=1.5, sample_rate=1.0, steps_per_round=1, batch_size=10
    )
    assert mechanism.round_event() == mechanism.round_event_without_amplification()


@pytest.mark.parametrize(
    ("cap", "event"),
    [
        (157, dp.TruncatedSubsampledGaussianDpEvent(1000, 0.1, 157, 1.0)),
        (1000, dp.PoissonSampledDpEvent(0.1, dp.GaussianDpEvent(1.0))),
    ],
)
def test_client_level_accounts_the_truncation_of_the_cohort(cap: int, event: dp.DpEvent) -> None:
    """A cap that can bind is not accounted as plain Poisson sampling."""
    mechanism = ClientPrivacy(
        clipping_norm=0.5, noise_multiplier=1.0, sample_rate=0.1, population=1000, cap=cap
    )
    assert mechanism.round_event() == event
    assert mechanism.round_event_without_amplification() == dp.GaussianDpEvent(1.0)
    assert mechanism.noise_stddev(0.5) == 0.5
    assert mechanism.adjacency is Adjacency.ZERO_OUT


def test_without_privacy_the_event_is_unbounded() -> None:
    """Both ways."""
    assert NoPrivacy().round_event() == dp.NonPrivateDpEvent()
    assert NoPrivacy().round_event_without_amplification() == dp.NonPrivateDpEvent()


def test_the_divisor_is_the_expected_cohort() -> None:
    """q·N, whoever answers; and the cap follows from both."""
    plan = plan_of(**{"population.size": 1000, "cohort.sample_rate": 0.05})
    assert math.isclose(plan.denominator, 50.0)
    assert plan.cap == 92


def test_a_cohort_is_cut_where_the_accounted_event_says() -> None:
    """One cap for the draw and for the accountant."""
    plan, mechanism = client_plan(1000, rate=0.1)
    other = replace(plan, mechanism=replace(mechanism, cap=120))
    assert (plan.cap, other.cap) == (157, 120)


@pytest.mark.parametrize(("population", "rate"), [(999, 0.1), (1000, 0.01)])
def test_a_mechanism_that_accounts_another_sampling_is_refused(
    population: int, rate: float
) -> None:
    """Else cohorts would be drawn at one rate and accounted at a smaller one."""
    plan, mechanism = client_plan(1000, rate=0.1)
    with pytest.raises(ConfigurationError, match="population and rate"):
        replace(plan, mechanism=replace(mechanism, population=population, sample_rate=rate))


@pytest.mark.parametrize("delta", [0.05, 0.1])
def test_a_delta_that_may_give_a_client_away_is_refused(delta: float) -> None:
    """δ ≥ 1/N allows publishing one client's data outright."""
    with pytest.raises(ConfigurationError, match="below 1/population"):
        client_plan(20, delta=delta)
