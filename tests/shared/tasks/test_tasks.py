"""Built-in tasks: models of the stated size, public scaling, clear errors."""

import gzip
import lzma
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from shared.config import RunConfig
from shared.errors import ConfigurationError, DataError
from shared.parameters import dimension
from shared.partition import PartitionSpec
from shared.task import Site, TaskSettings
from shared.tasks import fashion_mnist, hub_images, load_task, task_settings
from shared.tasks.fashion_mnist import FashionMnist, embedded, find_images
from shared.tasks.hub_images import HubImages
from shared.tasks.idx import read_idx
from shared.tasks.image_classification import ImageClassification

SETTINGS = TaskSettings()
WHOLE = Site(index=0, partition=None)


def idx(array: NDArray[Any]) -> bytes:
    """An IDX file's content."""
    shape = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + shape + array.astype(np.uint8).tobytes()


def write_images(folder: Path, labels: list[int]) -> None:
    """Four files with `len(labels)` images each, one of each compression."""
    images = np.zeros((len(labels), 28, 28), np.uint8)
    for name in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"):
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx(images)))
    for name in ("train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"):
        (folder / name).write_bytes(idx(np.array(labels)))


@pytest.mark.parametrize(
    ("task", "model", "count"),
    [
        ("fashion_mnist", "", 26_010),
        ("fashion_mnist", "small_cnn", 26_010),
        ("fashion_mnist", "cnn", 421_642),
        ("digits", "mlp", 2_410),
        ("digits", "tiny_cnn", 1_386),
    ],
)
def test_models_have_the_stated_size_and_no_buffers(task: str, model: str, count: int) -> None:
    """Exactly; a buffer would be a statistic of private data."""
    built = load_task(task, TaskSettings(model=model)).build_model()
    assert dimension(built) == count
    assert not list(built.buffers())


def test_the_shipped_subset_is_complete() -> None:
    """10,000 + 2,000 images of ten classes, in [-1, 1], without a network."""
    task = FashionMnist(TaskSettings(data_dir=embedded()))
    training, evaluation = task.site_data(WHOLE), task.evaluation_data()
    assert (len(training), len(evaluation)) == (10_000, 2_000)
    assert training.inputs[0].shape == (10_000, 1, 28, 28)
    assert training.inputs[0].unique()[[0, -1]].tolist() == [-1.0, 1.0]
    assert torch.bincount(training.targets).min() > 900


def test_a_site_holds_its_part_as_a_copy() -> None:
    """Changing it changes nobody else's."""
    task = load_task("digits", SETTINGS)
    site = Site(index=1, partition=PartitionSpec(clients=3))
    first = task.site_data(site)
    first.inputs[0].zero_()
    assert len(first) == 500
    assert task.site_data(site).inputs[0].abs().sum() > 0


def test_losses_and_metrics_are_one_number_an_example() -> None:
    """No reduction inside a task."""
    task = load_task("digits", SETTINGS)
    outputs, targets = torch.eye(3), torch.tensor([0, 1, 0])
    assert task.losses(outputs, targets).shape == (3,)
    assert task.metrics(outputs, targets)["accuracy"].tolist() == [1.0, 1.0, 0.0]


def test_a_folder_given_is_the_only_place_searched(tmp_path: Path) -> None:
    """Plain and compressed files alike; what is missing is named with the place."""
    with pytest.raises(DataError, match=str(tmp_path)) as caught:
        find_images(tmp_path)
    assert "train-images-idx3-ubyte" in str(caught.value)
    write_images(tmp_path, [0, 9])
    assert find_images(tmp_path) == tmp_path
    assert FashionMnist(TaskSettings(data_dir=tmp_path)).training_labels().tolist() == [0, 9]


def test_without_any_data_the_error_says_where_was_looked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a node that has neither the package nor the shipped subset."""
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "debian")
    monkeypatch.setattr(fashion_mnist, "find_spec", lambda _name: None)
    assert embedded() is None
    with pytest.raises(DataError, match="debian"):
        find_images(None)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-labels-idx1-ubyte", idx(np.array([0, 10])), "labels below 10, got 10"),
        ("train-labels-idx1-ubyte", idx(np.array([0])), "2 labels"),
        ("t10k-labels-idx1-ubyte", idx(np.array([0, 1]))[:-1], "must hold 2 bytes"),
        ("t10k-labels-idx1-ubyte", b"\x00", "IDX file"),
        ("t10k-labels-idx1-ubyte", bytes([0, 0, 8, 3, 0]), "a header of 16 bytes"),
        ("train-images-idx3-ubyte", idx(np.zeros((2, 27, 28))), "28x28"),
        ("train-images-idx3-ubyte", b"<html>", "IDX file"),
    ],
)
def test_a_corrupt_file_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """With what was wrong."""
    write_images(tmp_path, [0, 1])
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        FashionMnist(TaskSettings(data_dir=tmp_path)).pool()
    assert name in str(caught.value)


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_a_compressed_file_that_is_cut_short_is_named(tmp_path: Path, suffix: str) -> None:
    """Half a download."""
    pack = gzip.compress if suffix == ".gz" else lzma.compress
    path = tmp_path / f"images{suffix}"
    path.write_bytes(pack(idx(np.zeros((2, 28, 28))))[:-9])
    with pytest.raises(DataError, match="images"):
        read_idx(path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnist", "must be one of fashion_mnist"),
        ("no_such_module:Task", "no_such_module"),
        ("shared.errors:Missing", "Missing"),
        ("shared.errors:__doc__", "callable"),
    ],
)
def test_a_task_that_is_not_there_is_refused(name: str, message: str) -> None:
    """Names of the table, or module:object."""
    with pytest.raises(ConfigurationError, match=message):
        load_task(name, SETTINGS)


def test_a_missing_import_of_the_user_s_own_module_is_not_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module was found; what it imports was not."""
    (tmp_path / "broken_task.py").write_text("import no_such_dependency\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency"):
        load_task("broken_task:Task", SETTINGS)


def test_a_folder_is_refused_by_a_task_that_reads_none(tmp_path: Path) -> None:
    """A site must not believe that it trains on its own data when it does not."""
    with pytest.raises(ConfigurationError, match=r"data\.dir must be empty"):
        load_task("digits", TaskSettings(data_dir=tmp_path))


def test_an_unknown_model_is_refused() -> None:
    """With the names there are."""
    with pytest.raises(ConfigurationError, match="small_cnn, cnn, got 'resnet'"):
        FashionMnist(TaskSettings(model="resnet"))


def test_settings_come_from_the_configuration(tmp_path: Path) -> None:
    """An empty folder means: search."""
    assert task_settings(RunConfig()).data_dir is None
    raw = {"data.dir": str(tmp_path), "model": "cnn", "population.column": "writer"}
    expected = TaskSettings(model="cnn", data_dir=tmp_path, data_column="writer")
    assert task_settings(RunConfig.from_run_config(raw)) == expected


def test_image_tasks_must_say_where_their_images_are() -> None:
    """The base class has none, and no column."""
    task = ImageClassification(SETTINGS)
    assert task.column() is None
    with pytest.raises(NotImplementedError):
        task.pool()


class Split(dict[str, list[object]]):
    """A hub's split: columns by name."""

    @property
    def column_names(self) -> list[str]:
        """Names of the columns."""
        return list(self)


class Image:
    """A picture as the hub's library gives it."""

    def convert(self, mode: str) -> "Image":
        """Grey."""
        assert mode == "L"
        return self

    def resize(self, size: tuple[int, int]) -> "np.ndarray[tuple[int, int], np.dtype[np.uint8]]":
        """Of the asked size."""
        return np.full(size, 255, np.uint8)


def a_hub(monkeypatch: pytest.MonkeyPatch, columns: dict[str, list[object]]) -> None:
    """Stand-in for the optional library, which has no network here."""

    class FederatedDataset:
        def __init__(self, *, dataset: str, partitioners: dict[str, int]) -> None:
            assert (dataset, partitioners) == ("some/images", {"train": 1})

        def load_split(self, split: str) -> Split:
            assert split in {"train", "test"}
            return Split(columns)

    module = types.ModuleType("flwr_datasets")
    module.FederatedDataset = FederatedDataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flwr_datasets", module)
    hub_images._read_pool.cache_clear()


def test_a_hub_s_images_become_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    """28x28, grey, in [-1, 1], and shared out by a column."""
    a_hub(monkeypatch, {"image": [Image()] * 4, "label": [0, 1, 2, 3], "writer": list("abab")})
    settings = TaskSettings(data_name="some/images", data_column="writer")
    task = load_task("hub_images", settings)
    site = Site(index=1, partition=PartitionSpec(scheme="natural", clients=2))
    examples = task.site_data(site)
    assert examples.inputs[0].shape == (2, 1, 28, 28)
    assert examples.inputs[0].unique().tolist() == [1.0]
    assert examples.targets.tolist() == [1, 3]
    assert HubImages(TaskSettings(data_name="some/images")).column() is None


def test_what_a_hub_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The set's name, the library, a column."""
    hub_images._read_pool.cache_clear()
    with pytest.raises(ConfigurationError, match=r"data\.name"):
        HubImages(SETTINGS).pool()
    monkeypatch.setitem(sys.modules, "flwr_datasets", None)
    with pytest.raises(ConfigurationError, match=r"murmura\[hub\]"):
        HubImages(TaskSettings(data_name="some/images")).pool()
    a_hub(monkeypatch, {"text": [], "label": []})
    with pytest.raises(DataError, match="'image' or 'img'"):
        HubImages(TaskSettings(data_name="some/images")).pool()
    with pytest.raises(ConfigurationError, match=r"population\.column"):
        HubImages(TaskSettings(data_name="some/images", data_column="writer")).column()
