"""What a site's owner allows: each rule refuses by its name, and all that are broken are named."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from client.policy import PolicyRefused, Rule, SitePolicy
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError

KEYS: dict[str, Scalar] = {
    "task": "digits", "population.size": 10, "evaluation.private_every": 2,
    "evaluation.noise_multiplier": 1.5,
}  # fmt: skip


def plan(**changes: Scalar) -> PrivacyPlan:
    """Of a run at record level: z = 1.63, C = 0.5, N = 10, epsilon 8, delta 1e-5."""
    keys = KEYS | {name.replace("__", "."): value for name, value in changes.items()}
    return PrivacyPlan.from_config(RunConfig.from_run_config(keys))


def broken(
    policy: SitePolicy, changes: dict[str, Scalar] | None = None, *, seeded: bool = False
) -> tuple[Rule, ...]:
    """Which rules the run breaks."""
    try:
        policy.check_run(plan(**(changes or {})), "digits", seeded=seeded)
    except PolicyRefused as error:
        return error.rules
    return ()


@pytest.mark.parametrize(
    ("fits", "breaks", "rule"),
    [
        ({"tasks": ("digits",)}, {"tasks": ("xrays",)}, Rule.TASK),
        ({"units": ("record",)}, {"units": ("client",)}, Rule.UNIT),
        ({"least_noise_multiplier": 1.5}, {"least_noise_multiplier": 1.51}, Rule.NOISE),
        ({"largest_clipping_norm": 0.5}, {"largest_clipping_norm": 0.49}, Rule.CLIP),
        ({"smallest_population": 10}, {"smallest_population": 11}, Rule.POPULATION),
        ({"smallest_cohort": 10}, {"smallest_cohort": 11}, Rule.COHORT),
        ({"most_epsilon": 8.0}, {"most_epsilon": 7.9}, Rule.EPSILON),
        ({"most_delta": 1e-5}, {"most_delta": 9e-6}, Rule.DELTA),
    ],
)
def test_each_rule_draws_its_line(fits: dict[str, Any], breaks: dict[str, Any], rule: Rule) -> None:
    """What is on the line is allowed, what is beyond it is not."""
    assert broken(SitePolicy(**fits)) == ()
    assert broken(SitePolicy(**breaks)) == (rule,)


def test_all_rules_that_are_broken_are_named() -> None:
    """So that the operator need not mend them one by one."""
    policy = SitePolicy(tasks=("xrays",), most_epsilon=1.0, smallest_cohort=11)
    assert broken(policy, seeded=True) == (Rule.TASK, Rule.COHORT, Rule.EPSILON, Rule.SEEDED)


def test_a_run_without_privacy_is_refused_unless_it_is_asked_for() -> None:
    """By default, and where a clip is asked for: nothing is clipped there."""
    changes: dict[str, Scalar] = {"privacy__unit": "none", "evaluation__private_every": 0}
    assert broken(SitePolicy(), changes) == (Rule.UNIT,)
    assert broken(SitePolicy(units=("none",)), changes) == ()
    assert broken(SitePolicy(units=("none",), largest_clipping_norm=9.0), changes) == (Rule.CLIP,)


def test_the_expected_cohort_counts_where_clients_are_drawn() -> None:
    """Half of ten is five."""
    changes: dict[str, Scalar] = {
        "privacy__unit": "client", "cohort__sample_rate": 0.5, "privacy__delta": 1e-3,
    }  # fmt: skip
    assert broken(SitePolicy(smallest_cohort=5), changes) == ()
    assert broken(SitePolicy(smallest_cohort=6), changes) == (Rule.COHORT,)


def test_masks_can_be_demanded() -> None:
    """Then the server sees sums alone, or this site nothing does."""
    policy = SitePolicy(secure_aggregation_only=True)
    assert broken(policy) == (Rule.MASKS,)
    assert broken(policy, {"secure_aggregation": "on"}) == ()


def test_seeded_runs_are_refused_unless_they_are_allowed() -> None:
    """Whoever knows the seed can subtract the noise."""
    assert broken(SitePolicy(), seeded=True) == (Rule.SEEDED,)
    assert broken(SitePolicy(seeded_runs=True), seeded=True) == ()


def test_a_rounds_own_clip_and_cohort_are_held_to_the_same_lines() -> None:
    """An adaptive clip may grow, and a cohort may be smaller than expected."""
    policy = SitePolicy(largest_clipping_norm=1.0, smallest_cohort=3)
    policy.check_round(1.0, 3)
    policy.check_round(1.0, None)
    with pytest.raises(PolicyRefused) as caught:
        policy.check_round(1.1, 2)
    assert caught.value.rules == (Rule.CLIP, Rule.COHORT)
    SitePolicy().check_round(1e9, 1)


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("09:00-17:00", (9, 0), (17, 0)),
        ("22:00-06:00", (5, 59), (6, 0)),
        ("22:00-06:00", (22, 0), (21, 59)),
    ],
)
def test_a_site_answers_in_its_hours(
    hours: str, inside: tuple[int, int], outside: tuple[int, int]
) -> None:
    """The first moment is in, the last is not; a span may go over midnight."""
    policy, day = SitePolicy(hours=hours), datetime(2026, 11, 26).astimezone()
    policy.check_hour(day.replace(hour=inside[0], minute=inside[1]))
    with pytest.raises(PolicyRefused, match="outside_hours"):
        policy.check_hour(day.replace(hour=outside[0], minute=outside[1]))
    SitePolicy().check_hour(day)


@pytest.mark.parametrize(
    "values",
    [
        {"hours": "9-17"}, {"hours": "09:00-24:00"}, {"units": ()}, {"units": ("patient",)},
        {"smallest_cohort": 0}, {"most_epsilon": -1.0}, {"least_noise_multiplier": float("nan")},
    ],
)  # fmt: skip
def test_rules_that_mean_nothing_are_refused(values: dict[str, Any]) -> None:
    """A typing error must not become a rule that is never broken."""
    with pytest.raises(ConfigurationError, match=r"policy\."):
        replace(SitePolicy(), **values)
