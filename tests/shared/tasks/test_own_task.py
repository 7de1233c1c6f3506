"""The worked example of docs/own-task.md, as a demonstration and at a site with its own folder."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from shared.partition import PartitionSpec
from shared.task import Examples, Site, Task, TaskSettings
from shared.tasks import load_task

DOCUMENT = Path(__file__).parents[3] / "docs" / "own-task.md"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    """The document's code block, saved as a module and named as module:object."""
    code = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    (tmp_path / "documented_task.py").write_text(code[1], encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return load_task("documented_task:MyTask", TaskSettings(data_dir=tmp_path))


def loss_after_a_step(task: Task, examples: Examples) -> tuple[float, float]:
    """Mean loss before and after one step of plain SGD on all of `examples`."""
    torch.manual_seed(0)
    model = task.build_model()
    before = task.losses(model(*examples.inputs), examples.targets)
    assert before.shape == (len(examples),)
    before.mean().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter.sub_(0.1 * parameter.grad)
        after = task.losses(model(*examples.inputs), examples.targets)
    return float(before.detach().mean()), float(after.mean())


def test_the_documented_task_learns_from_a_part_of_the_demonstration(example: Task) -> None:
    """Disjoint parts that are the whole, and one step that lowers the loss."""
    spec = PartitionSpec(clients=4)
    parts = [example.site_data(Site(index=index, partition=spec)) for index in range(4)]
    points = torch.cat([part.inputs[0] for part in parts])
    assert len({tuple(point) for point in points.tolist()}) == 1000
    before, after = loss_after_a_step(example, parts[1])
    assert after < before


def test_the_documented_task_learns_from_a_site_s_own_folder(example: Task, tmp_path: Path) -> None:
    """A node with `name` and `data` in its node config."""
    table = np.array([[0.1, 0.2, 1], [-0.9, 0.9, 0], [0.0, -0.3, 1]])
    np.savetxt(tmp_path / "points.csv", table, delimiter=",")
    examples = example.site_data(Site(index=0, partition=None))
    assert examples.targets.tolist() == [1, 0, 1]
    assert examples.inputs[0].dtype == torch.float32
    before, after = loss_after_a_step(example, examples)
    assert after < before


def test_the_documented_task_measures_on_points_of_no_site(example: Task) -> None:
    """One score for each public example, 0 or 1."""
    public = example.evaluation_data()
    scores = example.metrics(example.build_model()(*public.inputs), public.targets)["accuracy"]
    assert scores.shape == (200,)
    assert set(scores.tolist()) <= {0.0, 1.0}
    whole = example.site_data(Site(index=0, partition=PartitionSpec(clients=1)))
    private = {tuple(point) for point in whole.inputs[0].tolist()}
    assert not private & {tuple(point) for point in public.inputs[0].tolist()}
