"""Which sinks a run's configuration asks for."""

from collections.abc import Sequence
from pathlib import Path

from server.run_folder import RunFolder
from server.sinks.fan_out import Sinks
from server.sinks.figures import Figures, Sink
from shared.config import RunConfig

# Secrecy: of the machine, the sites or the randomness; no sink needs them.
_KEPT_BACK = ("output.", "data.dir", "aggregation.helpers", "seed")


def open_sinks(
    config: RunConfig,
    folder: RunFolder,
    before: Sequence[tuple[int, Figures]],
    *,
    purge_from: int | None,
) -> Sinks:
    """The sinks of a run.

    Args:
        config: The run's.
        folder: The run's.
        before: Rounds that were finished before, in their order.
        purge_from: The first round that is played again; None where none was played before.

    Raises:
        ConfigurationError: an extra is not installed.
        StateError: one of them cannot be opened.
    """
    output, opened = config.output, list[Sink]()
    about = {key: str(v) for key, v in config.flat().items() if not key.startswith(_KEPT_BACK)}
    if output.tensorboard:
        from server.sinks.tensorboard import TensorBoardSink  # noqa: PLC0415 - slow to import

        opened.append(TensorBoardSink(folder.file("tensorboard"), purge_from))
    if output.mlflow:
        from server.sinks.mlflow import MlflowSink  # noqa: PLC0415 - likewise

        path = Path(output.dir) / output.mlflow
        resumed = purge_from is not None
        sink = MlflowSink(path, config.task, folder.path, about, before, resumed=resumed)
        opened.append(sink)
    if output.wandb != "off":
        from server.sinks.wandb import WandbSink  # noqa: PLC0415 - likewise

        online = output.wandb == "online"
        opened.append(WandbSink(folder.path, folder.path.name, about, before, online=online))
    return Sinks(opened)
