"""A simulated run that writes down what its server asked and heard, and may die at a moment."""

import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

from flwr.app import Message
from pytest import MonkeyPatch  # noqa: PT013 - the type, outside of a test

from server.checkpoint import Checkpoint, save
from server.run_folder import RunFolder
from shared.aggregation_messages import UNMASK, UnmaskMessage
from shared.config import Scalar
from shared.secagg.packing import request_from_bytes
from simulations import federation
from simulations.grid import InProcessGrid

# All updates of a round are there and nobody was asked to unmask; or the sum is known, and on no
# disk yet.
UPLOADED, SUMMED = "uploaded", "summed"


class _TracedGrid(InProcessGrid):
    """Each request to unmask is a line on disk before it is asked, and one more if it is answered.

    Args:
        trace: Where to.
        last_round: The round in which the process dies before anybody is asked; 0: it does not.
    """

    def __init__(self, *given: Any, trace: Path, last_round: int, **named: Any) -> None:
        super().__init__(*given, **named)
        self._trace = trace
        self._last_round = last_round

    def _answer(self, message: Message) -> Message | None:
        if message.metadata.message_type != UNMASK:
            return super()._answer(message)
        asked = UnmaskMessage.from_record(message.content)
        if asked.round_number == self._last_round:
            die()
        line = {
            "release": [asked.kind, asked.round_number, asked.attempt],
            "context": request_from_bytes(asked.content).context.hex(),
            "member": message.metadata.dst_node_id,
        }
        self._write(line | {"answered": False})
        reply = super()._answer(message)
        if reply is not None and not reply.has_error():
            self._write(line | {"answered": True})
        return reply

    def _write(self, line: dict[str, Any]) -> None:
        with self._trace.open("a") as file:
            file.write(json.dumps(line) + "\n")


def die() -> None:
    """At once, as by `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def traced(raw: dict[str, Scalar], trace: Path, round_number: int = 0, moment: str = "") -> Path:
    """`simulate`, with its trace in `trace`; dies in a round at a moment if one is named."""

    def save_or_die(folder: RunFolder, checkpoint: Checkpoint) -> None:
        if (checkpoint.round_number, moment) == (round_number, SUMMED):
            die()
        save(folder, checkpoint)

    last_round = round_number if moment == UPLOADED else 0
    grid = partial(_TracedGrid, trace=trace, last_round=last_round)
    with MonkeyPatch.context() as patch:
        patch.setattr(federation, "InProcessGrid", grid)
        patch.setattr("server.federation.save", save_or_die)
        return federation.simulate(raw)
