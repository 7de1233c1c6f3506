"""The second computation: no digit of a report can be changed but that it is found."""

import ast
import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from server.report import (
    reaccount,
    reaggregation,
    recomputation,
    redivergence,
    reexposure,
    replan,
    retold,
    told,
)
from server.report.recomputation import Recomputation
from server.report.told import Told, numbers_in
from server.report.verify import differences
from shared.config import RunConfig, Scalar
from shared.dp.events import event_to_json
from shared.dp.plan import PrivacyPlan
from simulations.federation import simulate
from tests.server.report.runs import (
    KINDS,
    RUN,
    again,
    changed_digits,
    changed_numbers,
    content,
    leaves,
    put,
    texts,
)

SECOND = (
    reaccount, reaggregation, recomputation, redivergence, reexposure, replan, retold, told,
)  # fmt: skip
# Measured once, with randomness that is gone: only the digest speaks for them.
NOT_COMPUTED = {"audit"}
SAMPLED: dict[str, Scalar] = {
    "training.sample_rate": 0.5,
    "cohort.sample_rate": 0.5,
    "cohort.minimum_survivors": 0.0,
    "population.size": 5,
    "rounds": 6,
    "seed": 11,
}


@pytest.fixture(scope="module", params=["everybody", "sampled"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; where all is exact, and where clients were asked differently."""
    folder = {"output.dir": str(tmp_path_factory.mktemp("runs"))}
    return simulate(RUN | (SAMPLED if request.param == "sampled" else {}) | folder)


@pytest.fixture(scope="module")
def second(run: Path) -> Recomputation:
    """Its second computation; it keeps what it has found, and no report changes it."""
    return again(run)


@pytest.mark.no_cover
@pytest.mark.slow
def test_every_digit_of_every_number_is_recomputed(run: Path, second: Recomputation) -> None:
    """Each position of each number; the digest is not asked, so whoever renews it is caught too.

    All observers' claims in one of the runs, the first's in the other.
    """
    report = content(run)
    assert differences(second, report) == []
    missed, count = [], 0
    for place, value in list(leaves(report)):
        elsewhere = place[0] == "claims" and place[1] > 0 and not _is_sampled(report)
        if place[0] in NOT_COMPUTED or elsewhere:
            continue
        for changed in changed_numbers(value):
            put(report, place, changed)
            count += 1
            if not differences(second, report):
                missed.append((place, value, changed))
        put(report, place, value)
    assert missed == []
    assert count > 2000


@pytest.mark.no_cover
def test_every_digit_in_a_text_about_privacy_is_recomputed(
    run: Path, second: Recomputation
) -> None:
    """Statements, reasons, problems, the verdict's line, the plan's digest."""
    report = content(run)
    count = 0
    for place, text in list(texts(report)):
        told_here = place[-1] in {"statement", "delta_rationale", "one_line", "plan_hash"}
        problem = place[:2] == ("verdict", "problems") and place[-1] == "text"
        if not told_here and not problem:
            continue
        for changed in changed_digits(text):
            put(report, place, changed)
            assert differences(second, report), (place, changed)
            count += 1
        put(report, place, text)
    assert count > 100


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("claims", 0, "epsilon"), "inf"),
        (("claims", 0, "epsilon"), None),
        (("claims", 0, "epsilon"), True),
        (("claims", 1, "adversary"), "nobody"),
        (("claims", 1, "cross_check", "agree"), False),
        (("claims", 1, "profile"), []),
        (("verdict", "level"), "guaranteed"),
        (("verdict", "problems"), []),
        (("data_accesses", 0, "charged"), False),
        (("clients", "per_client"), []),
        (("run", "seed_policy"), "physical"),
        (("claims",), []),
        (("mechanisms",), []),
    ],
    ids=str,
)
def test_what_is_no_digit_is_found_too(
    run: Path, second: Recomputation, place: tuple[Any, ...], value: Any
) -> None:
    """A number that became a word, a list that lost its entries, a kinder verdict."""
    report = content(run)
    put(report, place, value)
    assert differences(second, report)


def test_clients_that_were_asked_differently_are_in_the_sampled_run(run: Path) -> None:
    """Else the worst of several exposures would not be tested."""
    report = content(run)
    spent = {entry["spent"] for entry in report["clients"]["per_client"]}
    assert len(spent) > 1 if _is_sampled(report) else len(spent) == 1


def _is_sampled(report: dict[str, Any]) -> bool:
    return bool(report["run"]["rounds_planned"] == SAMPLED["rounds"])


@pytest.mark.parametrize(
    ("value", "digits", "right", "wrong"),
    [
        (2.25394, 0, 2.254, 2.2539),
        (0.158049, 5, 0.15805, 0.15804),
        (0.158049, 5, 0.15805, 0.15806),
        (0.0, 5, 0.0, 1e-14),
        (3e-17, 5, 1e-14, 0.0),
        (float("inf"), 0, "inf", 5.0),
        (8.0, 0, 8, True),
        (2.0, 7, 2.0, "2.0"),
    ],
)
def test_a_number_is_told_rounded_up_and_in_no_other_way(
    value: float, digits: int, right: Any, wrong: Any
) -> None:
    """Down, further up, or as another type, it is not the number."""
    assert Told(value, digits).is_told_by(right)
    assert not Told(value, digits).is_told_by(wrong)


def test_numbers_are_read_from_a_text_in_order() -> None:
    """Exponents and powers too."""
    assert numbers_in("e^2.5 plus 1e-05; 95 %") == ["2.5", "1e-05", "95"]


def test_nothing_is_shared_with_the_accountant_but_the_library() -> None:
    """A mistake of ours must not be repeated here."""
    own = {module.__name__ for module in SECOND}
    allowed = {"dp_accounting", "numpy", "scipy", "logging", "hashlib", "re", "typing", "json",
               "math", "collections", "dataclasses", "functools", "operator", "statistics",
               "decimal", "fractions"}  # fmt: skip
    for module in SECOND:
        assert module.__file__ is not None
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            for name in names:
                assert name in own or name.split(".")[0] in allowed, (module.__name__, name)


def test_an_event_that_nothing_accounts_for_is_not_taken_for_nothing() -> None:
    """It fails closed; what is composed or released to nobody is understood."""
    gaussian = {"kind": "gaussian", "noise_multiplier": 2.0}
    both = {"kind": "composed", "events": [gaussian, {"kind": "none"}, gaussian]}
    assert replan.steps_of(both) == {("gaussian", (2.0,)): 2}
    with pytest.raises(KeyError):
        replan.steps_of(json.loads('{"kind": "laplace"}'))


@pytest.mark.parametrize("kind", KINDS)
def test_the_plan_of_a_configuration_is_the_plan_that_ran(kind: str) -> None:
    """Digest, events of every exchange, repeated ones too."""
    flat = RunConfig.from_run_config(RUN | KINDS[kind] | {"rounds": 13}).flat()
    plan = PrivacyPlan.from_config(RunConfig.from_run_config(flat))
    second = replan.Replan(flat)
    assert second.digest == plan.digest()
    for exchange in product(("train", "evaluate", "statistics"), range(1, 14), (1, 2)):
        event, expected = plan.charge_event(*exchange), second.event_of(*exchange)
        assert replan.same_event(expected, None if event is None else event_to_json(event))


def test_an_event_with_another_noise_is_another() -> None:
    """But for the last bits."""
    gaussian = {"kind": "gaussian", "noise_multiplier": 2.0}
    assert replan.same_event(gaussian, gaussian | {"noise_multiplier": 2.0 + 4e-16})
    assert not replan.same_event(gaussian, gaussian | {"noise_multiplier": 2.0 + 1e-9})
    assert not replan.same_event(gaussian, {"kind": "none"})
    assert not replan.same_event(gaussian, gaussian | {"kind": "integer_noise"})
    assert not replan.same_event(gaussian | {"kind": "integer_noise"}, gaussian)
    assert not replan.same_event(gaussian, gaussian | {"more": 1})
    assert not replan.same_event(gaussian, None)
    assert replan.same_event(None, None)
