"""Means over examples; tests/server/test_evaluation.py holds the rest."""

import pytest
import torch
from torch import nn

from shared import measuring
from shared.errors import DataError
from shared.measuring import measure, outputs_of
from shared.task import TaskSettings
from tests.looking_tasks import Table


def test_nothing_cannot_be_measured() -> None:
    """No mean of no examples."""
    task = Table(TaskSettings())
    none = task.evaluation_data().select(torch.arange(0))
    with pytest.raises(DataError, match="examples to measure on"):
        measure(task, task.build_model(), none)


def test_outputs_keep_their_order_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """And carry no gradient."""
    monkeypatch.setattr(measuring, "_CHUNK", 2)
    model, inputs = nn.Linear(3, 2), torch.arange(15.0).reshape(5, 3)
    found = outputs_of(model, (inputs,))
    assert not found.requires_grad
    assert torch.allclose(found, model(inputs))
