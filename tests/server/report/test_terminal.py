"""The result fits on half a screen, with the report's own numbers."""

from pathlib import Path

import pytest

from server.report.build import build_report
from server.report.results import build_summary
from server.report.terminal import claim_rows, summary_lines
from server.run_folder import RunFolder
from tests.server.report.outcomes import UNITS, outcome


@pytest.mark.parametrize("unit", UNITS)
def test_verdict_claims_and_files_fit_on_twenty_lines(unit: str) -> None:
    """Every number is that of the summary, digit for digit."""
    folder = RunFolder(Path("runs/toy"))
    found = outcome(UNITS[unit])
    report = build_report(found, "run-1")
    summary = build_summary(folder, found, report, clients_lost=1, seconds=2.0)
    lines = summary_lines(summary)
    assert len(lines) <= 20
    assert lines[0].startswith("not private: ")
    *claims, accuracy, model, written = lines[2:]
    for line, claim in zip(claims, summary["claims"], strict=True):
        cells = line.split()
        assert cells[0] == claim["adversary"]
        assert cells[2:] == [
            str(claim[key])
            for key in ("epsilon", "delta", "budget_epsilon", "no_amplification_epsilon")
        ]
    assert accuracy == "accuracy 0.7500, 2 rounds, 1 answer lost"
    assert model.endswith("model.safetensors")
    assert written.endswith("report.json")


def test_columns_are_aligned() -> None:
    """Each starts where its heading does."""
    report = build_report(outcome(), "run-1")
    summary = build_summary(RunFolder(Path()), outcome(), report, clients_lost=0, seconds=0.0)
    heading, *rows = summary_lines(summary)[1:5]
    for name in claim_rows([])[0][1:]:
        assert all(row[heading.index(name) - 1] == " " for row in rows)
        assert all(row[heading.index(name)] != " " for row in rows)


def test_a_task_without_accuracy_says_so() -> None:
    """Never a zero."""
    report = build_report(outcome(), "run-1")
    summary = build_summary(RunFolder(Path()), outcome(), report, clients_lost=0, seconds=0.0)
    assert "accuracy not measured" in summary_lines(summary | {"accuracy": None})[5]
