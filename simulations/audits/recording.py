"""Where the results of audits go: the run's report and summary."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from server.report.audits import with_audits
from server.report.forms import write_forms
from server.report.results import REPORT, SUMMARY
from server.report.verify import report_digest
from server.run_folder import RunFolder
from simulations.audits.canaries import ANY, GAUSSIAN


def audited_claim(report: Mapping[str, Any]) -> tuple[str, float] | None:
    """Id and epsilon of the smallest finite claim of a report; None: it has none."""
    found = [
        (claim["id"], float(claim["epsilon"]))
        for claim in report["claims"]
        if math.isfinite(float(claim["epsilon"]))
    ]
    return min(found, key=lambda pair: pair[1]) if found else None


def record_audits(path: Path, audits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put `audits` into the run folder's report and summary, in place of those of equal names.

    Returns:
        The new report.
    """
    folder = RunFolder(path)
    report, summary = folder.read_json(REPORT), folder.read_json(SUMMARY)
    names = {audit["name"] for audit in audits}
    kept = [audit for audit in report["audit"] if audit["name"] not in names]
    report = with_audits(report, [*kept, *audits])
    folder.write_json(REPORT, report)
    write_forms(folder, report)
    # Guarantee: one bound, chosen before it is seen; the larger of two would not hold at 95 %.
    bounds = {
        audit["name"]: float(audit["result"])
        for audit in report["audit"]
        if audit["kind"] == "lower_bound"
    }
    measured = bounds.get(GAUSSIAN, bounds.get(ANY))
    summary["verdict"] = {key: report["verdict"][key] for key in ("level", "one_line")}
    summary["measured_epsilon"] = measured
    summary["report_digest"] = report_digest(report)
    folder.write_json(SUMMARY, summary)
    return report
