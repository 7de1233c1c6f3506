"""Built-in tasks: models of the stated size, public scaling, clear errors."""

import gzip
import hashlib
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from client.per_record import ByBookKeeping
from shared.config import RunConfig
from shared.errors import ConfigurationError, DataError
from shared.parameters import dimension
from shared.partition import PartitionSpec
from shared.task import Site, TaskSettings
from shared.tasks import fashion_mnist, load_task, task_settings
from shared.tasks.fashion_mnist import FashionMnist, embedded, find_images
from shared.tasks.idx import read_idx
from shared.tasks.image_classification import ImageClassification
from shared.tasks.made_of_images import MadeOfImages
from tests.shared.tasks.vision_learning import check_plain_training, check_private_training

SETTINGS = TaskSettings()
WHOLE = Site(index=0, partition=None)
# A header whose sizes multiply to 2⁶⁴: 0 in 64 bits, which is as many bytes as follow.
WRAPPING = bytes([0, 0, 8, 3]) + np.array([2**31, 2**31, 4], ">u4").tobytes()


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
        ("fashion_mnist", "resnet", 31_114),
        ("digits", "mlp", 2_410),
        ("digits", "tiny_cnn", 1_386),
    ],
)
def test_models_have_the_stated_size_and_no_buffers(task: str, model: str, count: int) -> None:
    """Exactly; a buffer would be a statistic of private data."""
    built = load_task(task, TaskSettings(model=model)).build_model()
    assert dimension(built) == count
    assert not list(built.buffers())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("fashion_mnist", "small_cnn"),
        ("fashion_mnist", "cnn"),
        ("digits", "mlp"),
        ("digits", "tiny_cnn"),
    ],
)
def test_one_client_trains_as_bare_torch_does(name: str, model: str) -> None:
    """Without privacy, and at q = 1 with next to no noise; every tensor moves in one step."""
    folder = embedded() if name == "fashion_mnist" else None
    task = load_task(name, TaskSettings(model=model, data_dir=folder))
    examples = task.site_data(WHOLE).select(torch.arange(16))
    check_plain_training(task, examples)
    assert isinstance(check_private_training(task, examples), ByBookKeeping)


def test_the_shipped_subset_is_complete() -> None:
    """10,000 + 2,000 images of ten classes, in [-1, 1], without a network."""
    task = FashionMnist(TaskSettings(data_dir=embedded()))
    training, evaluation = task.site_data(WHOLE), task.evaluation_data()
    assert (len(training), len(evaluation)) == (10_000, 2_000)
    assert training.inputs[0].shape == (10_000, 1, 28, 28)
    assert training.inputs[0].unique()[[0, -1]].tolist() == [-1.0, 1.0]
    assert torch.bincount(training.targets).min() > 900


@pytest.mark.parametrize(
    ("name", "count", "sha256"),
    [
        ("train-images-idx3", 10_000 * 784, "2929ae1c7b89e0ee6587bbe4911fd5f0a5dafe21"),
        ("train-labels-idx1", 10_000, "1022e4632874e71bb84d924c475e6a3428a2deeb"),
        ("t10k-images-idx3", 2_000 * 784, "09bbac78738f0229a68f7ca74e62665d7fb34f45"),
        ("t10k-labels-idx1", 2_000, "a86243d2b2400909bc0a82f5fd5c9df83bf82785"),
    ],
)
def test_the_shipped_subset_is_the_published_beginning(name: str, count: int, sha256: str) -> None:
    """Digests taken from the first 10,000 and 2,000 entries of the published files."""
    folder = embedded()
    assert folder is not None
    content = read_idx(folder / f"{name}-ubyte.xz").tobytes()
    assert len(content) == count
    assert hashlib.sha256(content).hexdigest().startswith(sha256)


@pytest.mark.parametrize(
    ("site", "count"),
    [(WHOLE, 1500), (Site(index=1, partition=PartitionSpec(clients=3)), 500)],
)
def test_a_site_holds_its_examples_as_a_copy(site: Site, count: int) -> None:
    """Changing them changes nobody else's, whether the site owns a part or everything."""
    task = load_task("digits", SETTINGS)
    first = task.site_data(site)
    first.inputs[0].zero_()
    first.targets.zero_()
    again = task.site_data(site)
    assert len(first) == count
    assert again.inputs[0].abs().sum() > 0
    assert again.targets.sum() > 0


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
    with pytest.raises(DataError, match=r"debian, the shipped subset \(not part of"):
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
        ("train-images-idx3-ubyte", WRAPPING, "must hold 18446744073709551616 bytes"),
    ],
)
def test_a_corrupt_file_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """With what was wrong."""
    write_images(tmp_path, [0, 1])
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        FashionMnist(TaskSettings(data_dir=tmp_path)).pool()
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["detection", "image_gan", "image_or_text", "image_text"])
def test_what_is_made_of_the_images_needs_images_that_can_be_read(
    tmp_path: Path, name: str
) -> None:
    """At a real site too: a folder of the four files, all of whose images are the site's."""
    task = load_task(name, TaskSettings(data_dir=tmp_path))
    write_images(tmp_path, [0, 1, 2, 3, 9, 9])
    assert len(task.site_data(WHOLE)) == (2 if name == "detection" else 6)
    fashion_mnist._read_pool.cache_clear()
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(np.array([0])))
    with pytest.raises(DataError, match="6 labels"):
        load_task(name, TaskSettings(data_dir=tmp_path)).site_data(WHOLE)


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
        ("mnist", "must be one of .*fashion_mnist"),
        (".mine:Task", "must be one of .*fashion_mnist"),
        ("shared.tasks.nowhere:Task", "nowhere"),
        ("no_such_module:Task", "no_such_module"),
        ("shared.errors:Missing", "Missing"),
        ("shared.errors:__doc__", "callable"),
    ],
)
def test_a_task_that_is_not_there_is_refused(name: str, message: str) -> None:
    """Names of the table, or module:object."""
    with pytest.raises(ConfigurationError, match=message):
        load_task(name, SETTINGS)


@pytest.mark.parametrize(
    ("module", "content", "error", "message"),
    [
        ("broken_task", "import no_such_dependency", ModuleNotFoundError, "no_such_dependency"),
        ("absentee_task", "import absent", ModuleNotFoundError, "'absent'"),
        ("misspelt_task", "import math\nmath.squareroot", AttributeError, "squareroot"),
    ],
)
def test_what_goes_wrong_inside_the_user_s_module_is_not_hidden(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    content: str,
    error: type[Exception],
    message: str,
) -> None:
    """The module was found; what it imports or uses was not."""
    (tmp_path / f"{module}.py").write_text(content, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(error, match=message):
        load_task(f"{module}:Task", SETTINGS)


def test_a_folder_is_refused_by_a_task_that_reads_none(tmp_path: Path) -> None:
    """A site must not believe that it trains on its own data when it does not."""
    with pytest.raises(ConfigurationError, match=r"data\.dir must be empty"):
        load_task("digits", TaskSettings(data_dir=tmp_path))


def test_an_unknown_model_is_refused() -> None:
    """With the names there are."""
    with pytest.raises(ConfigurationError, match="small_cnn, cnn, resnet, got 'vgg'"):
        FashionMnist(TaskSettings(model="vgg"))


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
    with pytest.raises(NotImplementedError):
        MadeOfImages(SETTINGS).pool()
