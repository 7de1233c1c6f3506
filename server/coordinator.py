"""A run from its first check to its report.

The same code for a simulation in one process and for real SuperNodes; only the grid differs.
"""

import json
from pathlib import Path

from flwr.serverapp import Grid

from server.environment import environment
from server.federation import Federation
from server.progress import RunStarted, tell
from server.recording import log_file
from server.report.results import SUMMARY
from server.run_folder import RunFolder, new_run_id
from shared.config import RunConfig
from shared.dp.claims import check_budget
from shared.dp.plan import PrivacyPlan
from shared.errors import StateError


def run(config: RunConfig, grid: Grid) -> Path:
    """Run a federation from its first round, or from where it stood, to its end.

    Returns:
        The run folder, with model, report and summary.

    Raises:
        BudgetExhausted: the plan, or a repeated round, would spend more than the budget.
        ConfigurationError: the model cannot be trained as promised, or the population is not
            there.
        TooFewSurvivors: too few clients answered in a round; the run can be resumed.
        StateError: the run folder cannot be used.
    """
    plan = PrivacyPlan.from_config(config)
    planned = check_budget(plan)
    folder = _open_folder(config)
    with log_file(folder.file("log.txt")):
        federation = Federation(config, plan, folder, grid)
        federation.prepare()
        tell(
            f"run {folder.path.name}: {config.rounds} rounds, {config.population.size} clients",
            RunStarted(
                run_id=folder.path.name,
                folder=folder.path,
                rounds=config.rounds,
                population=config.population.size,
                task=config.task,
                model=config.model,
                dimension=len(federation.parameters),
                planned_claims=planned,
                seeded=config.seeded,
                first_round=federation.rounds_done + 1,
            ),
        )
        try:
            while federation.rounds_done < config.rounds:
                federation.play_round(federation.rounds_done + 1)
        finally:
            federation.recorder.close()
        federation.finish()
    return folder.path


def _open_folder(config: RunConfig) -> RunFolder:
    """A new run folder with config.json and environment.json, or the one to be resumed."""
    output = config.output
    folder = RunFolder(Path(output.dir) / (output.run_id or new_run_id(config.task)))
    if output.resume:
        if not folder.file("config.json").exists():
            raise StateError(f"expected a run to resume in {folder.path}, got no config.json")
        if folder.file(SUMMARY).exists():
            raise StateError(f"the run in {folder.path} is finished; there is nothing to resume")
        return folder
    folder.create()
    origins = json.loads(output.origins)
    described = {
        key: {"value": value, "origin": origins.get(key, "run config")}
        for key, value in config.flat().items()
        if key != "output.origins"
    }
    folder.write_json("environment.json", environment())
    folder.write_json("config.json", described)
    return folder
