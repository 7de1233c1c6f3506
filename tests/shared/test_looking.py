"""Names where a task tells them, numbers where not."""

import pytest
import torch

from shared.looking import class_names, feature_names, names_classes, tells_classes, token_texts
from shared.task import Examples, TaskSettings
from tests.looking_tasks import Pictures, Table, Texts


def test_names_are_the_task_s_where_it_names_as_many() -> None:
    """Names of other outputs than these, say of a task that inherits them, are not used."""
    pictures, table, texts = (kind(TaskSettings()) for kind in (Pictures, Table, Texts))
    assert class_names(pictures, 2) == ["<plain> & dull", "with $patch$"]
    assert class_names(pictures, 3) == ["0", "1", "2"]
    assert class_names(table, 2) == ["0", "1"]
    assert feature_names(table, 5) == ["a", "$b$", "c", "planted", "e"]
    assert feature_names(pictures, 1) == ["column 1"]
    assert token_texts(texts, torch.tensor([0, 7])) == ["", "g"]
    assert token_texts(table, torch.tensor([0, 7])) == ["0", "7"]


@pytest.mark.parametrize(
    ("targets", "outputs", "expected"),
    [
        (torch.zeros(2).long(), torch.zeros(2, 3), True),
        (torch.zeros(2).long(), torch.zeros(2, 1), False),
        (torch.zeros(0).long(), torch.zeros(2, 3), False),
        (torch.zeros(2).long(), torch.zeros(2, 3, 4), False),
        (torch.zeros(2, 4).long(), torch.zeros(2, 3), False),
        (torch.zeros(2), torch.zeros(2, 3), False),
        (torch.tensor([0, 3]), torch.zeros(2, 3), False),
    ],
)
def test_classes_are_told_by_whole_targets(
    targets: torch.Tensor, outputs: torch.Tensor, expected: bool
) -> None:
    """One whole number an example, and a score for each class."""
    assert tells_classes(Examples((torch.zeros(len(targets), 1),), targets), outputs) is expected


def test_named_outputs_are_classes_without_a_look_at_the_data() -> None:
    """As many as names, in one row for each record."""
    pictures = Pictures(TaskSettings())
    assert names_classes(pictures, torch.zeros(3, 2))
    assert not names_classes(pictures, torch.zeros(3, 4))
    assert not names_classes(pictures, torch.zeros(3, 2, 2))
    assert not names_classes(Table(TaskSettings()), torch.zeros(3, 2))
