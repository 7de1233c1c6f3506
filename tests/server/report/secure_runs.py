"""Run folders of secure aggregation that never took place, whole enough to be verified."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from server.report.build import build_report
from server.report.results import build_summary, write_results
from server.report.verify import report_digest
from server.run_folder import RunFolder
from shared.config import Scalar
from shared.parameters import flatten
from tests.server.report.outcomes import EVERYBODY, UNITS, Cohort, outcome

SECURE = ("masked records", "masked client", "shared records", "shared client")


def written(
    folder: Path,
    kind: str,
    changes: Mapping[str, Scalar] | None = None,
    cohorts: Sequence[Cohort] = (EVERYBODY, EVERYBODY),
) -> Path:
    """A run folder with all that `verify` reads."""
    found = outcome(UNITS[kind] | {"seed": "os"} | dict(changes or {}), cohorts=cohorts)
    report, run = build_report(found, "run"), RunFolder(folder)
    model = nn.Linear(1, 1)
    write_results(run, found, model, flatten(model))
    summary = build_summary(run, found, report, clients_lost=0, seconds=1.0)
    config = {key: {"value": value} for key, value in found.config.flat().items()}
    metrics = [{"round": 1, "accuracy": 0.5}, {"round": 2, "accuracy": 0.75}]
    for name, content in (("report", report), ("summary", summary), ("config", config)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    for name, lines in (("charges", [c.to_json() for c in found.charges]), ("metrics", metrics)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


def tampered(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the report and renew its digest, as whoever tampers would."""
    report = json.loads((run / "report.json").read_text())
    change(report)
    summary = json.loads((run / "summary.json").read_text())
    (run / "report.json").write_text(json.dumps(report))
    summary["report_digest"] = report_digest(report)
    (run / "summary.json").write_text(json.dumps(summary))
