"""A trained model as a run left it: opened only if it is whole and of the task that is meant.

Nothing in a run folder is run: a task that is not built in is imported only if whoever opens the
model names it too, and tensors are read from safetensors, which hold numbers alone.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from shared.config import RunConfig
from shared.errors import ConfigurationError, StateError
from shared.normalisation import Normalisation
from shared.task import Examples, Task, TaskSettings
from shared.tasks import BUILT_IN, load_task, task_settings

MODEL_FILE = "model.safetensors"
_CONFIG = "config.json"
_NEEDED = ("task", "model", "unit", "adjacency", "delta", "epsilon", "plan_digest", "seeded")


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedModel:
    """A model in evaluation mode, and what is known of it.

    Attributes:
        task: What it was trained for.
        network: Its parameters are the saved ones; on the CPU.
        metadata: Of the model file: task, model, unit, adjacency, delta, epsilon by observer, ...
        normalisation: Of the inputs, as the sites normalised them; None: none.
        folder: The run's; None where a file alone was opened.
    """

    task: Task
    network: nn.Module
    metadata: Mapping[str, str]
    normalisation: Normalisation | None
    folder: Path | None

    def normalised(self, examples: Examples) -> Examples:
        """The examples as the model wants them."""
        return examples if self.normalisation is None else self.normalisation.apply(examples)


def open_model(
    place: Path, *, task_name: str | None = None, data_dir: Path | None = None
) -> SavedModel:
    """The model of the run folder, or in the file, `place`.

    Args:
        place: A run folder, or its model.safetensors wherever that lies.
        task_name: What the task must be; needed for one that is not built in.
        data_dir: Where this node's data lie; None: as the run's configuration says.

    Raises:
        StateError: no such file; it is damaged, or of another task or model than it should be.
        ConfigurationError: the task is not built in and was not named.
    """
    folder = place if place.is_dir() else None
    path = place / MODEL_FILE if folder else place
    metadata, tensors = _read(path)
    name = metadata["task"]
    if task_name is not None and task_name != name:
        raise StateError(f"expected a model of task {task_name!r} in {path}, got one of {name!r}")
    if task_name is None and name not in BUILT_IN:
        # The file may come from anybody, and importing a module runs it.
        raise ConfigurationError(
            f"{path} is of task {name!r}, which is not built in: give --task {name} to have that "
            "module run; got no --task"
        )
    if local := metadata.get("local_layers"):
        raise StateError(
            f"expected a whole model in {path}, got the part that its clients share: each keeps "
            f"{local} to itself"
        )
    settings = _settings(folder, metadata)
    if data_dir is not None:
        settings = replace(settings, data_dir=data_dir)
    task = load_task(name, settings)
    return SavedModel(
        task=task,
        network=_network(task, tensors, path),
        metadata=metadata,
        normalisation=_normalisation(metadata, path),
        folder=folder,
    )


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise StateError(f"expected a model in {path}, got none that can be read") from error
    if missing := [key for key in _NEEDED if key not in metadata]:
        raise StateError(f"expected a model that a run left, in {path}; it lacks {missing}")
    return metadata, tensors


def _settings(folder: Path | None, metadata: Mapping[str, str]) -> TaskSettings:
    """What the run's configuration says of the data; of a file alone only the model is known."""
    if folder is None:
        return TaskSettings(model=metadata["model"])
    path = folder / _CONFIG
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        raw = {key: entry["value"] for key, entry in content.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateError(f"expected the run's configuration in {path}, got none") from error
    config = RunConfig.from_run_config(raw)
    told = (config.task, config.model)
    if told != (metadata["task"], metadata["model"]):
        raise StateError(
            f"expected a model of the run's task and model {told}, got one of "
            f"{(metadata['task'], metadata['model'])}"
        )
    return task_settings(config)


@torch.no_grad()
def _network(task: Task, tensors: Mapping[str, Tensor], path: Path) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        network = task.build_model().eval()
    parameters = dict(network.named_parameters())
    wanted = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if differing := sorted(set(wanted.items()) ^ set(found.items())):
        raise StateError(
            f"expected the tensors of the task's model in {path}, got another: {differing[:4]}"
        )
    for name, parameter in parameters.items():
        if not torch.isfinite(tensors[name]).all():
            raise StateError(f"expected finite numbers in {path}, got others in {name!r}")
        parameter.copy_(tensors[name])
    return network


def _normalisation(metadata: Mapping[str, str], path: Path) -> Normalisation | None:
    if "normalisation" not in metadata:
        return None
    try:
        content = json.loads(metadata["normalisation"])
        found = Normalisation(tuple(content["mean"]), tuple(content["stddev"]))
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"expected means and deviations in {path}, got neither") from error
    return found
