"""Audits beside claims: a contradiction turns the verdict, an estimate never does."""

from typing import Any

import pytest

from server.report.audits import with_audits
from server.report.html import html
from tests.server.report.reports import CANARIES, ESTIMATE, report


def codes(content: dict[str, Any]) -> set[str]:
    """Problems of a report."""
    return {problem["code"] for problem in content["verdict"]["problems"]}


@pytest.mark.no_cover
def test_a_bound_that_failed_makes_the_run_not_private() -> None:
    """Whatever the assumptions are."""
    failed = report(passed=False)
    assert failed["verdict"]["level"] == "not_private"
    assert "AUDIT_EXCEEDS_CLAIM" in codes(failed)
    assert report()["verdict"]["level"] == "guaranteed_with_assumptions"


def test_an_estimate_decides_nothing() -> None:
    """It is no bound."""
    content = with_audits(report(), [ESTIMATE | {"passed": False}])
    assert content["verdict"]["level"] == "guaranteed_with_assumptions"
    assert "AUDIT_EXCEEDS_CLAIM" not in codes(content)


def test_an_estimate_far_below_the_claim_is_mentioned() -> None:
    """Canaries that do not arrive would look like perfect privacy."""
    low = ESTIMATE | {"interval": [0.0, 0.5]}
    assert "AUDIT_FAR_BELOW" in codes(with_audits(report(), [low]))
    assert "AUDIT_FAR_BELOW" not in codes(with_audits(report(), [ESTIMATE]))
    elsewhere = low | {"claim_id": "c9"}
    assert "AUDIT_FAR_BELOW" not in codes(with_audits(report(), [elsewhere]))


def test_the_same_audits_twice_leave_one_trace() -> None:
    """Statements and problems are made anew."""
    once = report(passed=False)
    twice = with_audits(once, once["audit"])
    assert twice == once
    without = with_audits(once, [CANARIES])
    assert "AUDIT_EXCEEDS_CLAIM" not in codes(without)


def test_an_estimate_above_the_claim_is_a_warning_and_no_failure() -> None:
    """It proves nothing; the page says so in a word of its own."""
    above = with_audits(report(), [ESTIMATE | {"passed": False}])
    assert "AUDIT_ESTIMATE_ABOVE" in codes(above)
    assert above["verdict"]["level"] == report()["verdict"]["level"]
    assert '<strong class="badge warn">above claim</strong>' in html(above)
    assert '<strong class="badge bad">failed</strong>' in html(report(passed=False))
    assert "AUDIT_ESTIMATE_ABOVE" not in codes(with_audits(above, [ESTIMATE]))
