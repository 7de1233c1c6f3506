"""A saved model is opened whole and as what it is, or not at all; nothing in it is run unasked."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from shared.errors import ConfigurationError, FederationError, StateError
from shared.saved_model import open_model
from shared.task import TaskSettings
from tests.looking_tasks import Pictures, Table, Texts, saved, task_of


@pytest.mark.parametrize("kind", [Pictures, Table, Texts])
def test_a_run_folder_gives_back_the_model_and_what_it_promises(
    tmp_path: Path, kind: type[Pictures]
) -> None:
    """The same outputs, in evaluation mode; the folder and the file alone are one model."""
    folder = saved(tmp_path / "run", kind)
    state = torch.random.get_rng_state()
    found = open_model(folder, task_name=task_of(kind))
    alone = open_model(folder / "model.safetensors", task_name=task_of(kind))
    assert torch.equal(torch.random.get_rng_state(), state)
    examples = found.task.evaluation_data()
    expected = kind(TaskSettings()).build_model()(*examples.inputs)
    assert torch.equal(found.network(*examples.inputs), expected)
    assert torch.equal(alone.network(*examples.inputs), expected)
    assert not found.network.training
    assert (found.folder, alone.folder) == (folder, None)
    assert json.loads(found.metadata["epsilon"]) == {"released_model": 2.5}
    assert found.normalised(examples) is examples


def test_inputs_are_normalised_as_the_sites_did(tmp_path: Path) -> None:
    """By the numbers in the model file."""
    content = json.dumps({"mean": [1.0], "stddev": [2.0]})
    found = open_model(
        saved(tmp_path / "run", Table, normalisation=content), task_name=task_of(Table)
    )
    examples = found.task.evaluation_data()
    assert torch.equal(found.normalised(examples).inputs[0], (examples.inputs[0] - 1.0) / 2.0)


def test_a_task_that_is_not_built_in_is_imported_only_when_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model file of a stranger runs nothing of his."""
    asked: list[str] = []
    folder = saved(tmp_path / "run", Table)
    monkeypatch.setattr("shared.saved_model.load_task", lambda name, _: asked.append(name))
    with pytest.raises(ConfigurationError, match="not built in: give --task"):
        open_model(folder)
    assert asked == []


def test_the_folder_of_own_records_reaches_the_task(tmp_path: Path) -> None:
    """As at a site."""
    folder = saved(tmp_path / "run", Table)
    found = open_model(folder, task_name=task_of(Table), data_dir=tmp_path)
    assert isinstance(found.task, Table)
    assert found.task.settings.data_dir == tmp_path


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "model.safetensors").write_bytes(b"{}"), "none that can be read"),
        (lambda folder: (folder / "model.safetensors").unlink(), "none that can be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "the run's configuration"),
        (lambda folder: (folder / "config.json").write_text('{"task": 1}'), "configuration"),
        (
            lambda folder: (folder / "config.json").write_text('{"task": {"value": "digits"}}'),
            "run's task and model",
        ),
        (
            lambda folder: save_file({"x": torch.zeros(1)}, folder / "model.safetensors"),
            "it lacks",
        ),
    ],
)
def test_a_damaged_folder_is_refused(tmp_path: Path, damage: object, message: str) -> None:
    """In words that name the file."""
    folder = saved(tmp_path / "run", Table)
    assert callable(damage)
    damage(folder)
    with pytest.raises(FederationError, match=message):
        open_model(folder, task_name=task_of(Table))


@pytest.mark.parametrize("content", ["[", "{}", '{"mean": 1, "stddev": [1]}'])
def test_a_damaged_normalisation_is_refused(tmp_path: Path, content: str) -> None:
    """Never left out: the model would see other inputs than it was trained on."""
    folder = saved(tmp_path / "run", Table, normalisation=content)
    with pytest.raises(StateError, match="means and deviations"):
        open_model(folder, task_name=task_of(Table))


def test_a_shared_part_is_no_model(tmp_path: Path) -> None:
    """Layers that stayed with the clients are in no file; none are made up."""
    folder = saved(tmp_path / "run", Table, local_layers="2")
    with pytest.raises(StateError, match="each keeps 2 to itself"):
        open_model(folder, task_name=task_of(Table))


def test_another_task_or_dimension_is_refused(tmp_path: Path) -> None:
    """By name; by the tensors' names and shapes; and numbers that are none."""
    folder = saved(tmp_path / "run", Table)
    with pytest.raises(StateError, match="expected a model of task 'digits'"):
        open_model(folder, task_name="digits")
    told = dict(open_model(folder, task_name=task_of(Table)).metadata)
    for tensors in ({"0.weight": torch.zeros(3, 4)}, {"other": torch.zeros(1)}):
        save_file(tensors, folder / "model.safetensors", told)
        with pytest.raises(StateError, match="the tensors of the task's model"):
            open_model(folder, task_name=task_of(Table))
    model = Table(TaskSettings()).build_model()
    damaged = {name: p.detach().fill_(float("nan")) for name, p in model.named_parameters()}
    save_file(damaged, folder / "model.safetensors", told)
    with pytest.raises(StateError, match="finite numbers"):
        open_model(folder, task_name=task_of(Table))
