"""TensorBoard, MLflow and Weights & Biases are given the same figures; without extras none fails.

MLflow is the real one with a store in a temporary folder; wandb is a stand-in.
"""

import os
import shutil
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from server.recording import Recorder
from server.run_folder import RunFolder
from server.sinks.figures import OF_THE_SERVER
from shared.config import RunConfig
from shared.errors import ConfigurationError, StateError
from tests.server.test_recording import event

pytestmark = [
    # Of SQLAlchemy 2.1, by the way in which MLflow asks it.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]
Scalars = dict[str, list[tuple[int, float]]]


class PretendedWandb(ModuleType):
    """As much of wandb as is used.

    Attributes:
        runs: What `init` was given, and what each run logged.
    """

    class Error(Exception):
        """As wandb's own."""

    def __init__(self) -> None:
        super().__init__("wandb")
        self.runs: list[SimpleNamespace] = []
        self.refuses = False

    def Settings(self, **settings: Any) -> dict[str, Any]:  # noqa: N802 - wandb's name
        """As it was given."""
        return settings

    def init(self, **given: Any) -> SimpleNamespace:
        """A run."""
        if self.refuses:
            raise self.Error("nobody is logged in")
        run = SimpleNamespace(given=given, logged=[], over=False)
        run.log = lambda figures, step: run.logged.append((step, figures))
        run.finish = lambda: setattr(run, "over", True)
        self.runs.append(run)
        return run


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> PretendedWandb:
    """In the place of the package."""
    pretended = PretendedWandb()
    monkeypatch.setitem(sys.modules, "wandb", pretended)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    return pretended


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store without runs: to make one takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    recorder(folder, mlflow="mlflow.db").close()
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    for run in client.search_runs([experiment(client)]):
        client.delete_run(run.info.run_id)
    return folder / "mlflow.db"


def experiment(client: Any) -> str:
    """Where the runs of the task are."""
    return str(client.get_experiment_by_name("digits").experiment_id)


def recorder(folder: Path, first_round: int = 1, **output: Any) -> Recorder:
    """With sinks as `output` says."""
    raw = {"output.dir": str(folder), "output.tensorboard": False}
    raw |= {f"output.{key}": value for key, value in output.items()}
    config = RunConfig.from_run_config({"task": "digits", "seed": 4711, **raw})
    (folder / "run").mkdir(parents=True, exist_ok=True)
    return Recorder(RunFolder(folder / "run"), first_round=first_round, config=config)


def of_tensorboard(folder: Path) -> Scalars:
    """What it shows."""
    shown = EventAccumulator(str(folder / "run/tensorboard")).Reload()
    return {
        name: [(point.step, point.value) for point in shown.Scalars(name)]
        for name in shown.Tags()["scalars"]
    }


def of_mlflow(folder: Path) -> tuple[list[Any], Scalars]:
    """Its runs that are not hidden, and the figures of the only one."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    runs = client.search_runs([experiment(client)])
    [only] = runs
    return runs, {
        name: [(m.step, m.value) for m in client.get_metric_history(only.info.run_id, name)]
        for name in only.data.metrics
    }


def of_wandb(run: SimpleNamespace) -> Scalars:
    """What a run logged."""
    found: Scalars = {}
    for step, figures in run.logged:
        for name, value in figures.items():
            found.setdefault(name, []).append((step, value))
    return found


@pytest.mark.slow
def test_all_sinks_have_the_same_figures_also_after_a_resume(
    tmp_path: Path, wandb: PretendedWandb, store: Path
) -> None:
    """Those of rounds that count, each once; of whatever is finite."""
    shutil.copy(store, tmp_path)
    wanted: dict[str, Any] = {"tensorboard": True, "mlflow": "mlflow.db", "wandb": "offline"}
    first = recorder(tmp_path, **wanted)
    for number in (1, 2, 3):
        first.record(event(number, metrics={"recall": 0.5 * number, "rmse": float("inf")}))
    first.close()
    again = recorder(tmp_path, first_round=3, **wanted)
    again.record(event(3, accuracy=0.0, private_loss=0.25, metrics={"recall": 0.125}))
    again.close()
    shown = of_tensorboard(tmp_path)
    runs, kept = of_mlflow(tmp_path)
    assert kept == shown == of_wandb(wandb.runs[-1])
    assert shown["metrics/recall"] == [(1, 0.5), (2, 1.0), (3, 0.125)]
    assert shown["accuracy"] == [(1, 0.25), (2, 0.5), (3, 0.0)]
    assert shown["private_loss"] == [(3, 0.25)]
    assert set(shown) == {
        "loss", "accuracy", "private_loss", "epsilon", "seconds", "answered", "metrics/recall",
    }  # fmt: skip
    assert (runs[0].info.status, runs[0].info.run_name) == ("FINISHED", "run")
    assert runs[0].data.params["privacy.unit"] == "record"
    assert all(run.over for run in wandb.runs)
    assert (tmp_path / "mlflow.db").stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_mlflow_tells_nobody_and_writes_no_folder(
    tmp_path: Path, wandb: PretendedWandb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No telemetry, no artefacts where the command was started, no thread left; a seed stays."""
    del wandb
    monkeypatch.chdir(tmp_path)
    target = recorder(tmp_path / "out", mlflow=str(tmp_path / "deep/mlflow.db"))
    target.record(event(1))
    target.close()
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    from mlflow.telemetry.utils import is_telemetry_disabled

    assert is_telemetry_disabled()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "out"]
    runs, _ = of_mlflow(tmp_path / "deep")
    assert not {"seed", "data.dir", "aggregation.helpers"} & set(runs[0].data.params)
    assert not any("mlflow" in thread.name.lower() for thread in threading.enumerate())


@pytest.mark.slow
def test_a_run_that_is_no_resume_hides_no_other(tmp_path: Path, store: Path) -> None:
    """Two folders of one name, one store."""
    from mlflow import MlflowClient

    store = Path(shutil.copy(store, tmp_path))
    for place in ("a", "b"):
        recorder(tmp_path / place, mlflow=str(store)).close()
    client = MlflowClient(tracking_uri=f"sqlite:///{store}")
    runs = client.search_runs([experiment(client)])
    assert [run.info.run_name for run in runs] == ["run", "run"]


@pytest.mark.slow
def test_a_store_that_is_none_is_a_state_error(tmp_path: Path) -> None:
    """Before the first round."""
    (tmp_path / "mlflow.db").write_text("no database " * 100)
    with pytest.raises(StateError, match="cannot be MLflow's store"):
        recorder(tmp_path, mlflow="mlflow.db")
    with pytest.raises(StateError, match="cannot be MLflow's store"):
        recorder(tmp_path, mlflow="mlflow.db/below/it")


@pytest.mark.slow
def test_metrics_that_mlflow_cannot_tell_apart_end_its_figures_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, store: Path
) -> None:
    """The run goes on, and the reason is told."""
    shutil.copy(store, tmp_path)
    target = recorder(tmp_path, mlflow="mlflow.db")
    target.record(event(1, metrics={"a@b": 1.0, "c": 2.0}))
    target.record(event(2, metrics={"a@b": 1.0, "a#b": 2.0}))
    target.close()
    assert "MLflow gets no more figures of this run: StateError: two metrics" in caplog.text
    _, kept = of_mlflow(tmp_path)
    assert kept["metrics/a_b"] == [(1, 1.0)]


@pytest.mark.parametrize("store", ["http://host:5000", "sqlite:///x.db", "databricks", "file:x"])
def test_mlflow_is_a_file_of_this_machine(store: str) -> None:
    """Another party would learn what no claim covers."""
    with pytest.raises(ConfigurationError, match="path of a SQLite file on this machine"):
        RunConfig.from_run_config({"output.mlflow": store})


def test_wandb_is_offline_unless_it_is_wanted_and_gathers_nothing(
    tmp_path: Path, wandb: PretendedWandb
) -> None:
    """Neither code nor machine; files lie in the run folder; nothing is looked up."""
    recorder(tmp_path, wandb="offline").close()
    [run] = wandb.runs
    settings = run.given["settings"]
    assert settings["mode"] == "offline"
    assert run.given["dir"] == str(tmp_path / "run")
    assert settings["save_code"] is settings["x_save_requirements"] is False
    assert settings["disable_git"] is settings["x_disable_stats"] is True
    assert settings["x_disable_machine_info"] is settings["x_disable_meta"] is True
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"
    assert not {"seed", "data.dir", "output.dir"} & set(run.given["config"])
    assert RunConfig().output.wandb == "off"
    with pytest.raises(ConfigurationError):
        RunConfig.from_run_config({"output.wandb": "yes"})


def test_what_no_claim_covers_is_not_sent_online(tmp_path: Path, wandb: PretendedWandb) -> None:
    """Neither how many answered nor how long it took; everything else is, after a resume too."""
    for first in (1, 2):
        target = recorder(tmp_path, first_round=first, wandb="online")
        target.record(event(first))
        target.close()
    offline = recorder(tmp_path, first_round=3, wandb="offline")
    offline.close()
    sent, kept = (of_wandb(run) for run in wandb.runs[1:])
    assert set(kept) - set(sent) == set(OF_THE_SERVER)
    assert {name: kept[name] for name in sent} == sent
    assert [run.given["settings"]["mode"] for run in wandb.runs] == ["online"] * 2 + ["offline"]


def test_wandb_that_cannot_begin_is_a_state_error(tmp_path: Path, wandb: PretendedWandb) -> None:
    """Before the first round."""
    wandb.refuses = True
    with pytest.raises(StateError, match=r"cannot begin: nobody is logged in"):
        recorder(tmp_path, wandb="online")


@pytest.mark.parametrize(("sink", "value"), [("mlflow", "mlflow.db"), ("wandb", "offline")])
def test_without_its_extra_a_sink_says_which_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sink: str, value: str
) -> None:
    """By its name; without the key nothing is missed."""
    monkeypatch.setitem(sys.modules, sink, None)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    with pytest.raises(ConfigurationError, match=rf"pip install .* -e '\.\[{sink}\]'"):
        recorder(tmp_path, 1, **dict[str, Any]({sink: value}))
    recorder(tmp_path).close()
