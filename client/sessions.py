"""The sessions of this process: one a run, and what trains is loaded by the first that trains.

A stock SuperNode starts a process for each message, and most of a run's messages train nothing: a
node enrols, a member of a committee tells its shares. They wait for no framework.
"""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from client.session import Session
from client.site import ThisSite
from shared.config import RunConfig, Scalar
from shared.dp.clipping import Vector
from shared.loading import loading
from shared.messages import TrainInstruction
from shared.query_messages import QueryInstruction
from shared.vectors import FlatVector

if TYPE_CHECKING:
    from client.in_process import InProcess


class WhenAsked:
    """`client.in_process`, made when it is first asked; see `client.computing`.

    Args:
        config: The run's configuration.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config = config

    def update(
        self, site: ThisSite, instruction: TrainInstruction, kept: FlatVector
    ) -> FlatVector | Vector:
        """As `Computing.update`."""
        return self._computing.update(site, instruction, kept)

    def rows(
        self, site: ThisSite, instruction: QueryInstruction, layers: FlatVector
    ) -> NDArray[np.float64]:
        """As `Computing.rows`."""
        return self._computing.rows(site, instruction, layers)

    @cached_property
    def _computing(self) -> "InProcess":
        with loading():
            # Slow, and trains alone need it.
            from client.in_process import InProcess  # noqa: PLC0415

        return InProcess(self._config)


def session(run_config: Mapping[str, Scalar]) -> Session:
    """The session of a raw run config; the same object for the same config."""
    # With their types: True == 1 == 1.0, but a configuration accepts one of them only.
    return _session(
        tuple(sorted((key, type(run_config[key]), run_config[key]) for key in run_config))
    )


@lru_cache(maxsize=2)
def _session(items: tuple[tuple[str, type[Scalar], Scalar], ...]) -> Session:
    config = RunConfig.from_run_config({key: value for key, _, value in items})
    return Session(config, WhenAsked(config))
