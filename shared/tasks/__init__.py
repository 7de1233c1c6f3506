"""Built-in tasks, one file each, and the table that finds them by name."""

from importlib import import_module
from pathlib import Path

from shared.config import RunConfig
from shared.errors import ConfigurationError
from shared.task import Task, TaskSettings

BUILT_IN = {
    "fashion_mnist": "shared.tasks.fashion_mnist:FashionMnist",
    "digits": "shared.tasks.digits:Digits",
    "hub_images": "shared.tasks.hub_images:HubImages",
}


def task_settings(config: RunConfig) -> TaskSettings:
    """What `config` says of model and data."""
    return TaskSettings(
        model=config.model,
        data_dir=Path(config.data.dir) if config.data.dir else None,
        data_name=config.data.name,
        data_column=config.population.column,
    )


def load_task(name: str, settings: TaskSettings) -> Task:
    """The task `name`: of the table above, or `module:object`, a callable TaskSettings -> Task.

    Raises:
        ConfigurationError: no such name, module or object.
    """
    reference = BUILT_IN.get(name, name)
    module_name, colon, attribute = reference.partition(":")
    if not (module_name and colon and attribute):
        raise ConfigurationError(
            f"task must be one of {', '.join(BUILT_IN)} or 'module:object', got {name!r}"
        )
    try:
        factory = getattr(import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise  # the user's module was found; what it imports was not
        raise ConfigurationError(
            f"task {name!r} needs a module {module_name!r} that Python can import, got none"
        ) from error
    except AttributeError as error:
        raise ConfigurationError(
            f"expected {attribute!r} in module {module_name!r}, got no such name"
        ) from error
    if not callable(factory):
        raise ConfigurationError(
            f"task {name!r} must be callable with TaskSettings, got {type(factory).__name__}"
        )
    task: Task = factory(settings)
    return task
