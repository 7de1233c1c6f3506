"""A whole federation in this process: the deployed ServerApp and ClientApp over `InProcessGrid`."""

from collections.abc import Mapping
from pathlib import Path

from flwr.app import Context, RecordDict
from flwr.common.constant import SUPERLINK_NODE_ID

from client.app import app as client_app
from client.in_process import InProcess, session
from server.app import app as server_app
from server.report.results import REPORT
from server.run_folder import RunFolder, new_run_id
from shared.config import RunConfig, Scalar
from shared.dp.witness import watched_by
from shared.errors import ConfigurationError
from simulations.audits.canaries import Canaries
from simulations.audits.recording import audited_claim, record_audits
from simulations.audits.shared_canaries import SharedNoiseCanaries
from simulations.cohort_engine import CohortEngine
from simulations.faults import Faults
from simulations.grid import ClientCallable, InProcessGrid
from simulations.on_ray import play

_LEDGERS = "ledgers"


def simulate(
    raw_config: Mapping[str, Scalar],
    *,
    faults: Faults | None = None,
    clients: ClientCallable = client_app,
    arrivals: Mapping[int, int] | None = None,
) -> Path:
    """Run one federation to its end, and return its run folder.

    Args:
        raw_config: Flat, dotted run config; keys left out have their defaults.
        faults: Who fails to answer, and how; None: nobody.
        clients: What all clients run; `simulations.attacks` has some that are not honest.
        arrivals: Round at whose start a client is first online, by its number; None: all are
            there from the beginning.

    Raises:
        FederationError: as the server or the configuration raises it.
    """
    flat = RunConfig.from_run_config(raw_config).flat()
    flat["output.run_id"] = flat["output.run_id"] or new_run_id(str(flat["task"]))
    population = int(flat["population.size"])
    folder = Path(str(flat["output.dir"])) / str(flat["output.run_id"])
    if flat["runtime.engine"] == "ray":
        if faults is not None or clients is not client_app or arrivals:
            raise ConfigurationError("clients that fail, attack or come late need another engine")
        play(flat)
        return folder
    grid = InProcessGrid(
        clients, population, flat, faults=faults, ledgers=folder / _LEDGERS, arrivals=arrivals
    )
    if clients is client_app:
        grid.engine = _engine(flat, faults, folder / _LEDGERS, str(grid.run.run_id))
    context = Context(
        run_id=grid.run.run_id,
        node_id=SUPERLINK_NODE_ID,
        node_config={},
        state=RecordDict(),
        run_config=flat,
    )
    canaries = _canaries(RunConfig.from_run_config(flat))
    if canaries is None:
        server_app(grid=grid, context=context)
        return folder
    with watched_by(canaries):
        server_app(grid=grid, context=context)
    _finish(folder, canaries)
    return folder


def _engine(
    flat: Mapping[str, Scalar], faults: Faults | None, ledgers: Path, run_id: str
) -> CohortEngine:
    config = RunConfig.from_run_config(flat)
    computing = InProcess(config)
    return CohortEngine(
        config, computing, session(flat), faults=faults, ledgers=ledgers, run_id=run_id
    )


def _canaries(config: RunConfig) -> Canaries | None:
    privacy = config.privacy
    # Correlated noise is one mechanism over all rounds, which canaries of single rounds misread.
    fit = privacy.unit != "none" and privacy.correlation == "none"
    if not (fit and config.audit.canaries):
        return None
    return SharedNoiseCanaries(config) if privacy.noise == "distributed" else Canaries(config)


def _finish(folder: Path, canaries: Canaries) -> None:
    claim = audited_claim(RunFolder(folder).read_json(REPORT))
    results = canaries.results(claim[1], claim[0]) if claim else []
    if results:
        record_audits(folder, results)
