"""What a task is told of the run and of the site: plain values, without a framework.

They are apart from `shared.task` so that a process that trains nothing need not load torch.
"""

from dataclasses import dataclass, field
from pathlib import Path

from shared.partition import PartitionSpec
from shared.text_section import TextConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """What the run's configuration says of model and data; the same on every node.

    Attributes:
        model: Name of the model; "" for the task's default.
        data_dir: Where this node's data lie; None: where the task finds them by itself.
        data_name: Name of a data set on a hub, for tasks that load one.
        data_column: Column of the natural partition, for tasks whose data have columns.
        text: Labels and encoder, for tasks of text.
    """

    model: str = ""
    data_dir: Path | None = None
    data_name: str = ""
    data_column: str = ""
    text: TextConfig = field(default_factory=TextConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Whose data are asked for.

    Attributes:
        index: 0-based number of the site in a demonstration.
        partition: How a demonstration shares one data set out; None: this node owns all the
            data under `TaskSettings.data_dir`.
    """

    index: int
    partition: PartitionSpec | None
