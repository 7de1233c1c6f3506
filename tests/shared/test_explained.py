"""What is shown of an explanation: names, classes, labels, and the strongest parts."""

from pathlib import Path

import pytest
import torch
from torch import nn

from shared.errors import ConfigurationError
from shared.explained import Explained, explain
from shared.saved_model import open_model
from shared.task import Examples, TaskSettings
from shared.tasks.detection import Detection
from shared.tasks.image_gan import ImageGan
from shared.tasks.recommendation import Recommendation
from tests.looking_tasks import Pictures, Planted, Table, Texts, saved


def explained(tmp_path: Path, kind: type[Planted], rows: list[int], *methods: str) -> Explained:
    """Of public records."""
    name = f"{kind.__module__}:{kind.__name__}"
    model = open_model(saved(tmp_path / "run", kind, task=name), task_name=name)
    return explain(model, model.task.evaluation_data(), rows, methods, None)


@pytest.mark.parametrize(
    ("kind", "row", "part"),
    [(Pictures, 1, "row 2, column 4"), (Table, 0, "planted"), (Texts, 1, "token 2: g")],
)
def test_the_strongest_part_is_named(
    tmp_path: Path, kind: type[Planted], row: int, part: str
) -> None:
    """A point, a column or a token; beside the class, its probability and the label."""
    found = explained(tmp_path, kind, [row], "integrated_gradients")
    (told,) = found.to_json()
    assert told["strongest"]["integrated_gradients"][0]["part"] == part
    name = "with $patch$" if kind is Pictures else "1"
    assert (told["record"], told["class"], told["label"]) == (row, name, name)
    assert 0.5 < told["probability"] <= 1.0
    assert found.title(0).startswith(f"record {row}: {name} (")
    assert found.title(0).endswith(f"; labelled {name}")


def test_all_methods_that_apply_are_the_default(tmp_path: Path) -> None:
    """Grad-CAM where there is a convolution."""
    names = [found.method for found in explained(tmp_path, Pictures, [0]).attributions]
    assert names == ["integrated_gradients", "saliency", "lime", "kernel_shap", "grad_cam"]
    names = [found.method for found in explained(tmp_path, Table, [0]).attributions]
    assert names == ["integrated_gradients", "saliency", "lime", "kernel_shap"]


@pytest.mark.parametrize("rows", [[], [-1], [6]])
def test_rows_that_are_not_there_are_refused(tmp_path: Path, rows: list[int]) -> None:
    """In words."""
    with pytest.raises(ConfigurationError, match="from 0 to 5"):
        explained(tmp_path, Table, rows)


def test_where_no_classes_are_told_no_probability_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Targets that are fractions."""
    monkeypatch.setattr(Table, "labels", lambda _, inputs: inputs[:, 0])
    found = explained(tmp_path, Table, [0], "saliency")
    assert (found.sure, found.labels, found.title(0)) == ([None], [None], "record 0: 1")
    assert torch.equal(found.inputs, Table.public(found)[:1])  # type: ignore[arg-type]


class Signals(Pictures):
    """The same numbers, called bands and frames."""

    def axis_names(self) -> tuple[str, str]:
        """Of a signal."""
        return ("band", "frame")


class Sequences(Texts):
    """Two places a text, of which the last tells the class."""

    def build_model(self) -> nn.Module:
        """The first place says the opposite."""
        return _Twice(super().build_model())

    def evaluation_data(self) -> Examples:
        """Labelled at both places."""
        found = super().evaluation_data()
        return Examples(found.inputs, torch.stack([1 - found.targets, found.targets], dim=1))

    def explained_place(self) -> int:
        """The last."""
        return -1

    def blank_token(self) -> int:
        """The model breaks on padding at the first place."""
        return 9


class _Twice(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Shape (n, 2, 2)."""
        assert (tokens[:, 0] != 0).all()
        found = self.inner(tokens)
        return torch.stack([-found, found], dim=1)


class Silent(Table):
    """Of which nothing can be said."""

    def why_unexplained(self) -> str:
        """Half a sentence."""
        return "its numbers are drawn"


def test_a_signal_s_parts_are_called_by_its_axes(tmp_path: Path) -> None:
    """Band and frame instead of row and column."""
    found = explained(tmp_path, Signals, [1], "saliency")
    assert found.axes == ("band", "frame")
    assert found.to_json()[0]["strongest"]["saliency"][0]["part"] == "band 2, frame 4"


def test_of_a_sequence_the_place_that_the_task_names_is_explained(tmp_path: Path) -> None:
    """Its class, probability and label; and the token that speaks for it."""
    found = explained(tmp_path, Sequences, [1], "integrated_gradients")
    (told,) = found.to_json()
    assert (told["class"], told["label"]) == ("1", "1")
    assert told["probability"] > 0.5
    assert told["strongest"]["integrated_gradients"][0]["part"] == "token 2: g"
    assert told["strongest"]["integrated_gradients"][0]["score"] > 0


def test_another_token_than_padding_can_stand_for_nothing(tmp_path: Path) -> None:
    """No copy of a text begins with padding; padding at its end stays, and says nothing."""
    found = explained(tmp_path, Sequences, [1], "lime", "kernel_shap", "saliency")
    for told in found.attributions[:2]:
        assert told.scores[0].argmax() == 2
        assert float(told.scores[0, 5]) == 0.0


def test_where_nothing_can_be_said_it_is_said_why(tmp_path: Path) -> None:
    """In one sentence, before anything is computed."""
    with pytest.raises(ConfigurationError, match=r"nothing to say of .*Silent: its numbers are"):
        explained(tmp_path, Silent, [0])


@pytest.mark.parametrize("kind", [Detection, ImageGan, Recommendation])
def test_tasks_that_are_not_explained_say_why(kind: type) -> None:
    """Detection, drawn images, ratings."""
    why = kind(TaskSettings()).why_unexplained()
    assert len(why) > 40
    assert not why.endswith(".")
