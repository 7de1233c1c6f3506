"""Names where a task tells them, numbers where not."""

import pytest
import torch

from shared.looking import class_names, feature_names, tells_classes, token_texts
from shared.task import Examples, TaskSettings
from tests.looking_tasks import Pictures, Table, Texts


def test_names_end_where_the_task_s_end() -> None:
    """Fewer names than outputs leave numbers."""
    pictures, table, texts = (kind(TaskSettings()) for kind in (Pictures, Table, Texts))
    assert class_names(pictures, 2) == ["<plain> & dull", "1"]
    assert class_names(table, 2) == ["0", "1"]
    assert feature_names(table, 5) == ["a", "b", "c", "planted", "column 5"]
    assert feature_names(pictures, 1) == ["column 1"]
    assert token_texts(texts, torch.tensor([0, 7])) == ["", "g"]
    assert token_texts(table, torch.tensor([0, 7])) == ["0", "7"]


@pytest.mark.parametrize(
    ("targets", "outputs", "expected"),
    [
        (torch.zeros(2).long(), torch.zeros(2, 3), True),
        (torch.zeros(2).long(), torch.zeros(2, 1), False),
        (torch.zeros(2).long(), torch.zeros(2, 3, 4), False),
        (torch.zeros(2, 4).long(), torch.zeros(2, 3), False),
        (torch.zeros(2), torch.zeros(2, 3), False),
    ],
)
def test_classes_are_told_by_whole_targets(
    targets: torch.Tensor, outputs: torch.Tensor, expected: bool
) -> None:
    """One whole number an example, and a score for each class."""
    assert tells_classes(Examples((torch.zeros(2, 1),), targets), outputs) is expected
