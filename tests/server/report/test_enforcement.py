"""What a report says of the sites' own enforcement: what is claimed, and never more."""

import json
from dataclasses import replace

import pytest

from server.report.build import Outcome, build_report
from server.report.markdown import markdown
from server.roster import AskedRoster
from shared.config import Scalar
from tests.server.report.outcomes import EVERYBODY, UNITS, outcome

SIGNED: dict[str, Scalar] = {"output.bundle_signature": "ab" * 64}
# Sites that claim to be guarded, whether the bundle is signed, and what is said.
CASES: dict[str, tuple[int, dict[str, Scalar], str]] = {
    "stock": (0, {}, "none: the run's code"),
    "stock, signed": (0, SIGNED, "none: the run's code"),
    "unsigned": (3, {}, "none: the app bundle"),
    "some": (2, SIGNED, "claimed by 2 of 3 sites"),
    "all": (3, SIGNED, "claimed by 3 of 3 sites"),
}


def ran(unit: str, case: str, *, simulated: bool = False) -> Outcome:
    """A run of three sites."""
    claimed, settings, _ = CASES[case]
    roster = AskedRoster()
    for place, name in enumerate(EVERYBODY):
        roster.add(name, place, b"", guarded=place < claimed)
    made = outcome(UNITS[unit] | {"seed": "os"} | settings, simulated=simulated)
    return replace(made, roster=roster)


@pytest.mark.no_cover
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("unit", ["record", "client", "shared client"])
def test_what_a_site_can_only_claim_is_not_called_more(case: str, unit: str) -> None:
    """An unsigned app or a stock SuperNode: none. The assumption stays assumed."""
    report = build_report(ran(unit, case), "run-1")
    told = report["implementation"]["client_side_enforcement"]
    assert told.startswith(CASES[case][2])
    for assumption in report["assumptions"]:
        if assumption["id"] == "client_code":
            assert assumption["status"] == "assumed"
            assert assumption["evidence"].endswith(told)
    assert "client_code" in [a["id"] for a in report["assumptions"]] or unit == "client"
    assert "verified" not in json.dumps([told, report["assumptions"]])


def test_a_simulation_says_that_it_is_one() -> None:
    """Whatever its sites might claim."""
    report = build_report(ran("record", "all", simulated=True), "run-1")
    told = report["implementation"]["client_side_enforcement"]
    assert told == "none: a simulation in one process"
    assert told in markdown(report)
