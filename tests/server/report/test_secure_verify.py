"""Reports of masked updates and shared noise: confirmed if honest, found out if tampered with."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from dp_accounting import NeighboringRelation

from server.report import redivergence
from server.report.redivergence import ORDERS, orders_shown
from server.report.replan import Replan, same_event, steps_of
from server.report.verify import differences, verify
from shared.config import RunConfig, Scalar
from shared.dp.events import event_to_json
from shared.dp.plan import PrivacyPlan
from tests.server.report.outcomes import EVERYBODY
from tests.server.report.runs import again, changed_numbers, content, leaves, put
from tests.server.report.secure_runs import SECURE, tampered, written

Change = Callable[[dict[str, Any]], None]


def paths(run: Path) -> set[str]:
    """Where something is found."""
    return {finding.path for finding in verify(run)}


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"evaluation.private_every": 1, "statistics.private": True},
        {"privacy.noise_multiplier": 0.3},
    ],
    ids=["plain", "queries", "weak"],
)
@pytest.mark.parametrize("kind", SECURE)
def test_an_honest_report_is_confirmed(
    tmp_path: Path, kind: str, changes: dict[str, Scalar]
) -> None:
    """Whoever adds the noise; clients asked alike, and not."""
    cohorts = [EVERYBODY, EVERYBODY[:1]]
    run = written(tmp_path, kind, changes, cohorts if "records" in kind else (EVERYBODY,) * 2)
    expected = {"charges.jsonl"} if "statistics.private" in changes else set()
    assert paths(run) == expected


@pytest.fixture(params=["shared records", "shared client"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run of shared noise."""
    return written(tmp_path, request.param)


def lowered(report: dict[str, Any]) -> None:
    """The server's epsilon, by its last digit."""
    report["claims"][1]["epsilon"] = round(report["claims"][1]["epsilon"] - 1e-4, 4)


def promised(report: dict[str, Any]) -> None:
    """Something against whoever sees each update, which has a share of the noise alone."""
    name = {"id": "c1", "adversary": "server_each_update"}
    report["claims"][0] = report["claims"][1] | name


def as_continuous(report: dict[str, Any]) -> None:
    """The distribution of continuous noise taken for a bound."""
    for claim in report["claims"][1:]:
        claim["epsilon"] = round(claim["cross_check"]["pld"] + 5e-5, 4)
        claim["method"] = "pld"


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lowered, "claims[1].epsilon"),
        (promised, "claims[0].epsilon"),
        (as_continuous, "claims[1].epsilon"),
        (lambda report: report["claims"].pop(1), "claims"),
        (lambda report: report["claims"].pop(0), "claims"),
        (lambda report: report["claims"][1].update(method="pld"), "claims[1].method"),
        (lambda report: report["claims"][1].update(mu_gdp=0.5), "claims[1].mu_gdp"),
        (lambda report: report["assumptions"].pop(3), "assumptions"),
        (lambda report: report["assumptions"][3].update(status="enforced"),
         "assumptions[3].status"),
        (lambda report: report["assumptions"][3].update(text="at most 0.2 of all"),
         "assumptions[3].text"),
        (lambda report: report["trust"].update(collusion_threshold=2),
         "trust.collusion_threshold"),
        (lambda report: report["mechanisms"][0].update(noise_placed_by="each_client"),
         "mechanisms[0].noise_placed_by"),
        (lambda report: report["mechanisms"][0].update(noise_distribution="gaussian_float"),
         "mechanisms[0].noise_distribution"),
    ],
)  # fmt: skip
def test_a_tampered_report_is_found_though_its_digest_is_renewed(
    run: Path, change: Change, place: str
) -> None:
    """By the numbers and lists alone."""
    tampered(run, change)
    found = paths(run)
    assert place in found
    assert "report.json" not in found


def test_integer_noise_that_became_gaussian_is_found(run: Path) -> None:
    """In the charges, though report and plan would then give a smaller epsilon."""
    path = run / "charges.jsonl"
    path.write_text(path.read_text().replace("integer_noise", "gaussian"))
    assert paths(run) >= {"charges.jsonl[0].event", "charges.jsonl[1].event", "claims[1].epsilon"}


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("key", "value"),
    [("privacy.noise", "whole"), ("aggregation.corrupt_fraction", 0.3), ("aggregation.bits", 32)],
)
def test_a_plan_that_was_changed_afterwards_is_found(run: Path, key: str, value: Scalar) -> None:
    """Shared noise dropped from the configuration, or what it rests on."""
    config = content(run, "config.json")
    config[key]["value"] = value
    if key == "privacy.noise":
        config["secure_aggregation"]["value"] = "on"
    (run / "config.json").write_text(json.dumps(config))
    found = paths(run)
    assert found >= {"run.plan_hash", "model.safetensors.plan_digest"}
    if key == "privacy.noise":
        assert found >= {"charges.jsonl[0].event", "assumptions"}


@pytest.mark.no_cover
def test_secure_aggregation_that_was_dropped_afterwards_is_found(tmp_path: Path) -> None:
    """With it goes an observer, and with that a claim."""
    run = written(tmp_path, "masked client")
    config = content(run, "config.json")
    config["secure_aggregation"]["value"] = "off"
    (run / "config.json").write_text(json.dumps(config))
    assert paths(run) >= {"claims", "run.plan_hash", "charges.jsonl[0].event"}


def test_amplification_by_a_told_cohort_is_found(tmp_path: Path) -> None:
    """Charges of a secret draw, where masks told it to all."""
    run = written(tmp_path, "masked client")
    path = run / "charges.jsonl"
    charges = [json.loads(line) for line in path.read_text().splitlines()]
    for charge in charges:
        charge["event"] = {
            "kind": "poisson_sampled", "sampling_probability": 0.5, "event": charge["event"],
        }  # fmt: skip
    path.write_text("".join(f"{json.dumps(charge)}\n" for charge in charges))
    assert "charges.jsonl[0].event" in paths(run)


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["shared records", "shared client"])
def test_every_digit_of_every_number_is_recomputed(tmp_path: Path, kind: str) -> None:
    """Of the claim against the server of sums, and of all that stands beside the claims."""
    run = written(tmp_path, kind, {"privacy.noise_multiplier": 2.0})
    report, second = content(run), again(run)
    assert differences(second, report) == []
    missed, count = [], 0
    for place, value in list(leaves(report)):
        if place[0] == "claims" and place[1] > 1:
            continue
        for changed in changed_numbers(value):
            put(report, place, changed)
            count += 1
            if not differences(second, report):
                missed.append((place, value, changed))
        put(report, place, value)
    assert missed == []
    assert count > 1000


AGGREGATIONS: list[dict[str, Scalar]] = [
    {"secure_aggregation": "on"},
    {"privacy.noise": "distributed", "training.momentum": 0.9, "training.learning_rate": 0.3},
    {"privacy.noise": "distributed", "training.sample_rate": 1.0},
    {"secure_aggregation": "on", "training.steps": 7, "training.momentum": 0.3},
    {"secure_aggregation": "on", "training.optimizer": "adam", "training.steps": 3},
    {"secure_aggregation": "on", "privacy.unit": "none"},
    {"secure_aggregation": "on", "privacy.unit": "client", "cohort.sample_rate": 0.3},
    {"privacy.noise": "distributed", "privacy.unit": "client", "aggregation.update_bound": 2.0},
    {"secure_aggregation": "off", "privacy.unit": "client"},
]


@pytest.mark.parametrize("changes", AGGREGATIONS, ids=str)
def test_the_plan_of_a_configuration_is_the_plan_that_ran(changes: dict[str, Scalar]) -> None:
    """Digest, events of every exchange."""
    asked = {} if changes.get("privacy.unit") == "none" else {"evaluation.private_every": 2}
    flat = RunConfig.from_run_config(changes | asked).flat()
    plan, second = PrivacyPlan.from_config(RunConfig.from_run_config(flat)), Replan(flat)
    assert second.digest == plan.digest()
    for exchange in product(("train", "evaluate"), (1, 2), (1, 2)):
        event, expected = plan.charge_event(*exchange), second.event_of(*exchange)
        assert same_event(expected, None if event is None else event_to_json(event))


def test_steps_of_integer_noise_are_no_steps_of_gaussians() -> None:
    """Sampled or not; a sample of what nothing accounts for is refused."""
    whole = {"kind": "integer_noise", "noise_multiplier": 2.0}
    drawn = {"kind": "poisson_sampled", "sampling_probability": 0.5, "event": whole}
    both = {"kind": "composed", "events": [whole, drawn, drawn | {"sampling_probability": 1.0}]}
    assert steps_of(both) == {("integer", (2.0,)): 2, ("poisson_integer", (0.5, 2.0)): 1}
    with pytest.raises(KeyError):
        steps_of(drawn | {"event": {"kind": "laplace", "noise_multiplier": 2.0}})


def test_divergences_of_our_own_are_those_of_the_library_at_whole_orders() -> None:
    """Whose sum for Gaussians they are; between them, that of the next whole one."""
    relation = NeighboringRelation.ADD_OR_REMOVE_ONE
    ours = redivergence.total({("poisson_integer", (0.2, 1.5)): 3}, relation)
    theirs = redivergence.total({("poisson", (0.2, 1.5)): 3}, relation)
    assert ours is not None
    assert theirs is not None
    for order, one, other in zip(ORDERS, ours, theirs, strict=True):
        if order == int(order):
            assert one == pytest.approx(other, rel=1e-9)
    assert len(orders_shown(ours)) > 10
    with pytest.raises(KeyError):
        redivergence.together({("truncated", (9.0, 0.5, 3.0, 1.0)): 1}, 2)
