"""What is shown of an explanation: names, classes, labels, and the strongest parts."""

from pathlib import Path

import pytest
import torch

from shared.errors import ConfigurationError
from shared.explained import Explained, explain
from shared.saved_model import open_model
from tests.looking_tasks import Pictures, Planted, Table, Texts, saved, task_of


def explained(tmp_path: Path, kind: type[Planted], rows: list[int], *methods: str) -> Explained:
    """Of public records."""
    model = open_model(saved(tmp_path / "run", kind), task_name=task_of(kind))
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
