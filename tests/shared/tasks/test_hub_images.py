"""The hub task against a stand-in that answers as flwr-datasets does, with real pictures."""

import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from client.per_record import ByBookKeeping
from shared.config import Scalar
from shared.errors import ConfigurationError, DataError
from shared.partition import PartitionSpec
from shared.task import Site, TaskSettings
from shared.tasks import hub_images, load_task
from shared.tasks.hub_images import HubImages
from tests.shared.tasks.vision_learning import (
    check_plain_training,
    check_private_training,
    summary,
)

NAME = "some/images"
Columns = Mapping[str, Sequence[object]]


class Split:
    """One split: columns by name, and the public description of each."""

    def __init__(self, columns: Columns, classes: int | None = None) -> None:
        described = types.SimpleNamespace(**({} if classes is None else {"num_classes": classes}))
        self._columns = columns
        self.column_names = list(columns)
        self.features = dict.fromkeys(columns, described)

    def __len__(self) -> int:
        """Number of rows."""
        return len(next(iter(self._columns.values())))

    def __getitem__(self, name: str) -> Sequence[object]:
        """One column."""
        return self._columns[name]


def pictures(count: int, *, mode: str = "L", side: int = 28) -> list[Image.Image]:
    """Pictures of one shade each, 0, 1, 2, ..."""
    shade = (lambda i: (i, i, i)) if mode == "RGB" else (lambda i: i)
    return [Image.new(mode, (side, side), shade(index)) for index in range(count)]


@pytest.fixture(autouse=True)
def _forgetful() -> Iterator[None]:
    """No test sees another's sets."""
    yield
    for cached in (hub_images._hub, hub_images._split, hub_images._read_pool):
        cached.cache_clear()


def a_hub(monkeypatch: pytest.MonkeyPatch, **splits: Split) -> None:
    """The optional library with one set; a split that it lacks is a ValueError, as there."""

    class FederatedDataset:
        def __init__(
            self, *, dataset: str, partitioners: dict[str, int], shuffle: bool = True
        ) -> None:
            assert (dataset, partitioners, shuffle) == (NAME, {"train": 1}, False)

        def load_split(self, split: str) -> Split:
            if split not in splits:
                raise ValueError(f"The given split: {split!r} is not present")
            return splits[split]

    module = types.ModuleType("flwr_datasets")
    module.FederatedDataset = FederatedDataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flwr_datasets", module)


def part(clients: int, index: int) -> Site:
    """One site of the natural split."""
    return Site(index=index, partition=PartitionSpec(scheme="natural", clients=clients))


def test_a_hub_s_images_become_grey_examples_shared_out_by_a_column(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Colour and size are brought to 28x28 grey in [-1, 1]; values may be missing."""
    train: Columns = {
        "img": pictures(4, mode="RGB", side=32),
        "label": [0, 1, 2, 3],
        "who": [7, None, 7, 8],
    }
    a_hub(monkeypatch, train=Split(train), test=Split({"img": pictures(1), "label": [9]}))
    task = load_task("hub_images", TaskSettings(data_name=NAME, data_column="who"))
    examples = task.site_data(part(3, 0))
    assert examples.inputs[0].shape == (2, 1, 28, 28)
    assert examples.inputs[0][1].unique().tolist() == pytest.approx([2 / 127.5 - 1])
    assert examples.targets.tolist() == [0, 2]
    assert task.evaluation_data().targets.tolist() == [9]
    assert HubImages(TaskSettings(data_name=NAME)).column() is None


def test_a_set_like_femnist_gives_up_every_tenth_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another label column, 62 classes, no split for evaluation: no site holds what is measured."""
    writers = [f"f{index % 3}" for index in range(30)]
    columns: Columns = {
        "image": pictures(30),
        "writer_id": writers,
        "character": list(range(32, 62)),
    }
    a_hub(monkeypatch, train=Split(columns, classes=62))
    task = HubImages(TaskSettings(data_name=NAME, data_column="writer_id", model="cnn"))
    held_out = task.evaluation_data().targets.tolist()
    held = [task.site_data(part(3, index)).targets for index in range(3)]
    assert held_out == [41, 51, 61]
    assert sorted(torch.cat(held).tolist() + held_out) == list(range(32, 62))
    assert all(len(set((targets - 32).remainder(3).tolist())) == 1 for targets in held)
    model = task.build_model()
    assert task.losses(model(torch.zeros(2, 1, 28, 28)), torch.tensor([0, 61])).shape == (2,)


def test_a_set_that_describes_no_classes_has_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    """As MNIST and its like."""
    a_hub(monkeypatch, train=Split({"image": pictures(1), "label": [0]}))
    model = HubImages(TaskSettings(data_name=NAME)).build_model()
    assert model(torch.zeros(1, 1, 28, 28)).shape == (1, 10)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": [""], "label": [0]}, "column named image or img"),
        ({"image": pictures(1), "caption": [""]}, "column named label or"),
        ({"image": [], "label": []}, "empty split"),
        ({"image": pictures(2), "label": [0, 10]}, "labels from 0 to 9"),
        ({"image": pictures(2), "label": [-1, 3]}, "got -1 to 3"),
    ],
)
def test_a_set_of_another_form_is_refused(
    monkeypatch: pytest.MonkeyPatch, columns: Columns, message: str
) -> None:
    """With what was expected; -1 is how hubs mark labels that are withheld."""
    a_hub(monkeypatch, train=Split(columns), test=Split(columns))
    with pytest.raises(DataError, match=message):
        HubImages(TaskSettings(data_name=NAME)).pool()


def test_what_a_hub_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library, the set's name, the split, the column."""
    monkeypatch.setitem(sys.modules, "flwr_datasets", None)
    with pytest.raises(ConfigurationError, match=r"\.\[hub\]"):
        HubImages(TaskSettings(data_name=NAME)).pool()
    with pytest.raises(ConfigurationError, match=r"data\.name"):
        HubImages(TaskSettings()).pool()
    a_hub(monkeypatch, test=Split({"image": pictures(1), "label": [0]}))
    with pytest.raises(DataError, match="'some/images' has no split 'train'"):
        HubImages(TaskSettings(data_name=NAME)).pool()
    hub_images._hub.cache_clear()
    a_hub(monkeypatch, train=Split({"image": pictures(1), "label": [0]}))
    with pytest.raises(ConfigurationError, match=r"population\.column"):
        HubImages(TaskSettings(data_name=NAME, data_column="writer")).column()


def test_the_column_has_one_value_for_each_example_of_the_pool(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where some examples were held out."""
    columns: Columns = {"image": pictures(20), "label": [0] * 20, "who": list(range(20))}
    a_hub(monkeypatch, train=Split(columns))
    task = HubImages(TaskSettings(data_name=NAME, data_column="who"))
    column = task.column()
    assert column is not None
    assert len(column) == len(task.training_labels()) == 18
    assert "9" not in column


def test_a_split_that_cannot_be_loaded_is_not_replaced_by_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lost connection must not change what the model is measured on."""
    columns: Columns = {"image": pictures(20), "label": [0] * 20}
    a_hub(monkeypatch, train=Split(columns), test=Split(columns))
    hub = sys.modules["flwr_datasets"].FederatedDataset
    present = hub.load_split

    def without_network(self: object, split: str) -> Split:
        if split == "test":
            raise OSError("connection lost")
        found: Split = present(self, split)
        return found

    monkeypatch.setattr(hub, "load_split", without_network)
    with pytest.raises(DataError, match="cannot be loaded: connection lost"):
        HubImages(TaskSettings(data_name=NAME)).pool()


def shades(count: int) -> Split:
    """Pictures of one shade each, of which the dark ones are of one class."""
    images = [Image.new("L", (28, 28), 255 * place // count) for place in range(count)]
    return Split({"image": images, "label": [int(2 * place >= count) for place in range(count)]})


@pytest.mark.slow
def test_one_client_trains_as_bare_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without privacy, and at q = 1 with next to no noise; every tensor moves in one step."""
    a_hub(monkeypatch, train=shades(16), test=shades(4))
    task = load_task("hub_images", TaskSettings(data_name=NAME))
    examples = task.site_data(Site(index=0, partition=None))
    check_plain_training(task, examples)
    assert isinstance(check_private_training(task, examples), ByBookKeeping)


@pytest.mark.slow
def test_it_learns_at_its_epsilon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nine of ten pictures at epsilon 4, where a guess is right one time in two."""
    a_hub(monkeypatch, train=shades(400), test=shades(100))
    keys: dict[str, Scalar] = {
        "task": "hub_images", "data.name": NAME, "rounds": 12, "population.size": 2,
        "population.examples_per_client": 0, "training.batch_size": 40,
        "training.learning_rate": 1.0, "privacy.clipping_norm": 0.5,
        "privacy.noise_multiplier": 2.0, "privacy.epsilon_budget": 4.0, "privacy.delta": 1e-4,
    }  # fmt: skip
    found = summary(tmp_path, keys)
    assert max(claim["epsilon"] for claim in found["claims"]) <= 4.0
    assert found["accuracy"] > 0.9
