"""A run from its first check to its report.

The same code for a simulation in one process and for real SuperNodes; only the grid differs.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flwr.serverapp import Grid

from server.checkpoint import check_same
from server.environment import code_digest, environment
from server.federation import Federation
from server.preparation import prepare
from server.progress import RunStarted, tell
from server.progress_file import progress_file
from server.recording import log_file
from server.report.results import SUMMARY
from server.run_folder import RunFolder, new_run_id
from server.secure_plan import described
from shared.config import RunConfig
from shared.counting import counted
from shared.dp.claims import check_budget
from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError, StateError
from shared.memory_use import give_back
from shared.spans import span

_CONFIG = "config.json"
_ENVIRONMENT = "environment.json"


def run(config: RunConfig, grid: Grid) -> Path:
    """Run a federation from its first round, or from where it stood, to its end.

    Returns:
        The run folder, with model, report and summary.

    Raises:
        BudgetExhausted: the plan, or a repeated round, would spend more than the budget.
        ConfigurationError: the model cannot be trained as promised, the population is not there,
            or the training diverges.
        TooFewSurvivors: too few clients answered in a round; the run can be resumed.
        StateError: the run folder cannot be used, or another process plays this run.
    """
    plan = PrivacyPlan.from_config(config)
    planned = check_budget(plan)
    prepared = prepare(config, plan)
    # Only now, so that a run that is refused leaves nothing behind.
    folder = _open_folder(config)
    folder.synced = not getattr(grid, "simulated", False)
    number = str(grid.run.run_id)
    with folder.held(), log_file(folder.file("log.txt")), progress_file(folder, number):
        federation = Federation(config, plan, prepared, folder, grid)
        # Cost: what the plan's epsilon was worked out on, half a gigabyte where it is tiny.
        give_back()
        try:
            tell(
                f"run {folder.path.name}: {counted(config.rounds, 'round')}, "
                f"{counted(config.population.size, 'client')}",
                RunStarted(
                    run_id=folder.path.name,
                    folder=folder.path,
                    rounds=config.rounds,
                    population=config.population.size,
                    task=config.task,
                    model=config.model,
                    dimension=federation.model.dimension,
                    planned_claims=planned,
                    seeded=config.seeded,
                    first_round=federation.rounds_done + 1,
                    aggregation=described(plan, federation.model.dimension),
                ),
            )
            federation.prepare_inputs()
            while federation.rounds_done < config.rounds:
                with span("round"):
                    federation.play_round(federation.rounds_done + 1)
        finally:
            federation.recorder.close()
        with span("report"):
            federation.finish()
    return folder.path


def _open_folder(config: RunConfig) -> RunFolder:
    """A new run folder with config.json and environment.json, or the one to be resumed."""
    output = config.output
    if output.resume:
        if not output.run_id:
            raise ConfigurationError("output.resume needs output.run_id, got none")
        return _folder_to_resume(config)
    # Before the folder: whatever is refused leaves nothing behind.
    origins, around = _origins(output.origins), environment(config.runtime)
    folder = RunFolder(Path(output.dir) / (output.run_id or new_run_id(config.task)))
    folder.create()
    _describe(folder, config, origins, around)
    return folder


def _describe(
    folder: RunFolder, config: RunConfig, origins: Mapping[str, str], around: Mapping[str, Any]
) -> None:
    described = {
        key: {"value": value, "origin": origins.get(key, "run config")}
        for key, value in config.flat().items()
        if key != "output.origins"
    }
    folder.write_json(_ENVIRONMENT, around)
    # Last: a folder that holds it can be resumed.
    folder.write_json(_CONFIG, described)


def _folder_to_resume(config: RunConfig) -> RunFolder:
    folder = RunFolder(Path(config.output.dir) / config.output.run_id)
    if _only_made(folder):
        # The server died before the run was described: nothing of it was charged or asked.
        around = environment(config.runtime)
        _describe(folder, config, _origins(config.output.origins), around)
        return folder
    if not folder.file(_CONFIG).exists():
        raise StateError(f"expected a run to resume in {folder.path}, got no {_CONFIG}")
    if folder.file(SUMMARY).exists():
        raise StateError(f"the run in {folder.path} is finished; there is nothing to resume")
    try:
        before = {key: entry["value"] for key, entry in folder.read_json(_CONFIG).items()}
        code_before = str(folder.read_json(_ENVIRONMENT)["code_digest"])
    except (KeyError, TypeError) as error:
        raise StateError(f"{folder.path} holds a description of another form") from error
    # Guarantee: here and not with the checkpoint alone, since a run that was killed in its first
    # round has charges and no checkpoint.
    check_same(before, config, code_before, code_digest())
    return folder


def _only_made(folder: RunFolder) -> bool:
    """Whether the folder is one that `_open_folder` made, and died over."""
    known = {_ENVIRONMENT, f".{_ENVIRONMENT}.partial", f".{_CONFIG}.partial"}
    return folder.path.is_dir() and {path.name for path in folder.path.iterdir()} <= known


def _origins(text: str) -> Mapping[str, str]:
    try:
        origins = json.loads(text)
    except ValueError as error:
        raise ConfigurationError("output.origins must be JSON") from error
    if not isinstance(origins, dict):
        raise ConfigurationError(
            f"output.origins must be a JSON object, got {type(origins).__name__}"
        )
    return origins
