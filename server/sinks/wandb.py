"""Weights & Biases (extra `wandb`): files in the run folder, or online.

What it would gather by itself (machine, code, repository, packages, output, usage) stays off.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from server.sinks.figures import OF_THE_SERVER, Figures
from shared.errors import ConfigurationError, StateError
from shared.extras import extra

_PROJECT = "murmura"
_WAIT_S = 60.0


class WandbSink:
    """A run of W&B's. A resume makes a new one in the same group, with the rounds before.

    Args:
        folder: The run folder; `wandb sync` in it sends what was kept offline.
        run_id: The run's.
        about: What is kept beside the figures.
        before: Rounds that are kept from before a resume.
        online: Whether figures are sent while the run goes.

    Raises:
        ConfigurationError: wandb is not installed.
        StateError: it cannot begin, as where nobody is logged in.
    """

    name = "Weights & Biases"

    def __init__(
        self,
        folder: Path,
        run_id: str,
        about: Mapping[str, str],
        before: Sequence[tuple[int, Figures]],
        *,
        online: bool,
    ) -> None:
        # Guarantee: it looks up its makers' host when it is imported, offline too, unless told so.
        os.environ["WANDB_ERROR_REPORTING"] = "false"
        try:
            import wandb  # noqa: PLC0415 - an optional extra
        except ModuleNotFoundError as error:
            raise ConfigurationError(
                f"output.wandb needs {extra('wandb')}; got no wandb"
            ) from error
        self._online = online
        try:
            self._run: Any = wandb.init(
                project=_PROJECT,
                name=run_id,
                group=run_id,
                config=dict(about),
                dir=str(folder),
                reinit="create_new",
                settings=wandb.Settings(**_quiet("online" if online else "offline")),
            )
            for number, figures in before:
                self.write(number, figures)
        except (OSError, ValueError, wandb.Error) as error:
            raise StateError(f"Weights & Biases cannot begin: {error}") from error

    def write(self, round_number: int, figures: Figures) -> None:
        """One step a round."""
        told = dict(figures)
        if self._online:
            # Guarantee: what no claim covers does not leave the server.
            told = {name: value for name, value in told.items() if name not in OF_THE_SERVER}
        self._run.log(told, step=round_number)

    def close(self) -> None:
        """The run is over."""
        self._run.finish()


def _quiet(mode: str) -> dict[str, Any]:
    off = ("save_code", "x_save_requirements")
    on = (
        "silent", "disable_git", "disable_code", "disable_job_creation", "x_disable_meta",
        "x_disable_stats", "x_disable_machine_info",
    )  # fmt: skip
    settings: dict[str, Any] = dict.fromkeys(off, False) | dict.fromkeys(on, True)
    waits = dict.fromkeys(("init_timeout", "finish_timeout"), _WAIT_S)
    # The machine's name would be in the run whatever else is off.
    return settings | waits | {"mode": mode, "console": "off", "host": ""}
