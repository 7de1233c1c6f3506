"""`murmura audit`: what was measured of a run's privacy, beside what it claims."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from murmura.options import Assignments, Machine, SettingsFile
from murmura.running import search_current_folder
from murmura.settings import layered, named_flags, settings_of_run
from shared.config import RunConfig
from shared.errors import ConfigurationError, PrivacyError


def audit(  # noqa: PLR0913 - one parameter for each option
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN_FOLDER", help="A finished run.")
    ] = None,
    *,
    mechanism: Annotated[
        bool, typer.Option("--mechanism", help="The noise and sampling of these settings.")
    ] = False,
    task: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Record and replay on this task and its model."),
    ] = None,
    config: SettingsFile = None,
    assignments: Assignments = None,
    machine: Machine = False,
    debug: Annotated[bool, typer.Option("--debug", help="Tracebacks.")] = False,
) -> None:
    """Measure privacy: audits of a [bold]run[/bold], of a mechanism, or of a task.

    Exit status 3 if any check fails or any lower bound exceeds its claim.
    """
    del debug  # looked for by murmura.cli
    if (run is not None) == (mechanism or task is not None):
        raise ConfigurationError("expected a run folder, or --mechanism and --task, got not one")
    search_current_folder()
    if run is not None:
        settings = settings_of_run(run)
    else:
        settings = layered(config, assignments or [], named_flags({"task": ("--task", task)}))
    chosen = settings.config()
    found = _measured(
        chosen, mechanism=run is not None or mechanism, task=run is not None or bool(task)
    )
    if run is not None:
        from simulations.audits.recording import record_audits  # noqa: PLC0415 - slow to import

        found = record_audits(run, found)["audit"]
    if machine:
        typer.echo(json.dumps({"audit": found}, allow_nan=False))
    else:
        _print(Console(), found)
    failed = [a["name"] for a in found if not a["passed"] and a["kind"] != "estimate"]
    if failed:
        raise PrivacyError(f"expected every audit to pass, got failures of {', '.join(failed)}")


def _measured(config: RunConfig, *, mechanism: bool, task: bool) -> list[dict[str, Any]]:
    from shared.dp.plan import PrivacyPlan  # noqa: PLC0415 - slow to import
    from simulations.audits.mechanism_audit import audit_mechanism  # noqa: PLC0415

    plan = PrivacyPlan.from_config(config)
    if mechanism and plan.distributed:
        typer.echo(
            "noise that all share in is not measured here; `murmura simulate` does", err=True
        )
    found = audit_mechanism(plan) if mechanism else []
    if task and config.privacy.unit != "none":
        found.append(_replayed(config))
    return found


def _replayed(config: RunConfig) -> dict[str, Any]:
    import torch  # noqa: PLC0415 - slow to import

    from server.preparation import prepare  # noqa: PLC0415
    from shared.dp.plan import PrivacyPlan  # noqa: PLC0415
    from shared.parameters import flatten  # noqa: PLC0415
    from simulations.audits.findings import as_check  # noqa: PLC0415
    from simulations.audits.record_and_replay import (  # noqa: PLC0415
        replay_clients,
        replay_records,
    )

    started, plan = time.perf_counter(), PrivacyPlan.from_config(config)
    if config.privacy.unit == "client":
        findings = replay_clients(plan)
    else:
        prepared = prepare(config, plan)
        # Public examples: an audit needs no private ones.
        public = prepared.task.evaluation_data()
        rows = torch.arange(min(8, len(public)))
        findings = replay_records(config, flatten(prepared.model), public.select(rows))
    seconds = time.perf_counter() - started
    return as_check("record and replay", config.privacy.unit, findings, seconds=seconds)


def _print(console: Console, found: list[dict[str, Any]]) -> None:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    for heading in ("audit", "kind", "result", "confidence", "against", "passed"):
        table.add_column(heading, overflow="fold")
    for entry in found:
        result = entry["result"]
        table.add_row(
            entry["name"],
            entry["kind"].replace("_", " "),
            result if isinstance(result, str) else f"{result:.3f}",
            "" if entry["confidence"] is None else f"{entry['confidence']:g}",
            entry["threat_model"],
            "yes" if entry["passed"] else "[red]NO[/red]",
        )
    console.print(table)
