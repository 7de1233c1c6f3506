"""Built-in tasks, one file each, and the table that finds them by name."""

from importlib import import_module
from pathlib import Path

from shared.config import RunConfig
from shared.errors import ConfigurationError
from shared.task import Task, TaskSettings

BUILT_IN = {
    "detection": "shared.tasks.detection:Detection",
    "digits": "shared.tasks.digits:Digits",
    "fashion_mnist": "shared.tasks.fashion_mnist:FashionMnist",
    "flights": "shared.tasks.flights:Flights",
    "hub_images": "shared.tasks.hub_images:HubImages",
    "image_gan": "shared.tasks.image_gan:ImageGan",
    "image_or_text": "shared.tasks.image_or_text:ImageOrText",
    "image_text": "shared.tasks.image_text:ImageText",
    "language_id": "shared.tasks.language_id:LanguageId",
    "language_model": "shared.tasks.language_model:LanguageModel",
    "recommendation": "shared.tasks.recommendation:Recommendation",
    "sentences": "shared.tasks.sentences:Sentences",
    "speech_commands": "shared.tasks.speech_commands:SpeechCommands",
    "tabular": "shared.tasks.tabular:Tabular",
    "translation": "shared.tasks.translation:Translation",
}


def task_settings(config: RunConfig) -> TaskSettings:
    """What `config` says of model and data."""
    return TaskSettings(
        model=config.model,
        data_dir=Path(config.data.dir) if config.data.dir else None,
        data_name=config.data.name,
        data_column=config.population.column,
        text=config.text,
    )


def load_task(name: str, settings: TaskSettings) -> Task:
    """The task `name`: of the table above, or `module:object`, a callable TaskSettings -> Task.

    What goes wrong inside the user's module is raised as it is.

    Raises:
        ConfigurationError: no such name, module or object.
    """
    reference = BUILT_IN.get(name, name)
    module_name, colon, attribute = reference.partition(":")
    if not (colon and attribute and all(part.isidentifier() for part in module_name.split("."))):
        raise ConfigurationError(
            f"task must be one of {', '.join(BUILT_IN)} or 'module:object', got {name!r}"
        )
    factory = _look_up(module_name, attribute)
    if not callable(factory):
        raise ConfigurationError(
            f"task {name!r} must be callable with TaskSettings, got {type(factory).__name__}"
        )
    task: Task = factory(settings)
    return task


def _look_up(module_name: str, attribute: str) -> object:
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the user's module was found; what it imports was not
        raise ConfigurationError(
            f"expected a module {module_name!r} that Python can import, got none"
        ) from error
    if not hasattr(module, attribute):
        raise ConfigurationError(
            f"expected {attribute!r} in module {module_name!r}, got no such name"
        )
    found: object = getattr(module, attribute)
    return found
