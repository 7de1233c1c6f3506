"""What goes wrong with a simulated client, and when: crashes, dropouts, silence.

A fault is chosen by the client's number and the message alone, never by data, so that a faulty
run can be repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np


class Fault(StrEnum):
    """How a client fails to answer.

    RAISES: its app raises; the server receives an error reply (Flower's code 2).
    UNAVAILABLE: its node is gone; the server receives an error reply (Flower's code 5).
    SILENT: nothing ever comes; the server waits until its deadline.
    """

    RAISES = "raises"
    UNAVAILABLE = "unavailable"
    SILENT = "silent"


class Faults(Protocol):
    """Chooses the fault of each exchange."""

    def fault(self, client_index: int, message_type: str, group_id: str) -> Fault | None:
        """The fault of client `client_index` in this exchange; None: it answers."""


@dataclass(frozen=True)
class ScriptedFaults:
    """Exactly the faults that are listed, by (client index, round) of training exchanges."""

    script: Mapping[tuple[int, str], Fault] = field(default_factory=dict)

    def fault(self, client_index: int, message_type: str, group_id: str) -> Fault | None:
        """The listed fault, or None; an enrolment never fails."""
        return self.script.get((client_index, group_id)) if message_type == "train" else None


@dataclass(frozen=True)
class RandomDropout:
    """Each training exchange fails with probability `rate`, independently, seeded."""

    rate: float
    seed: int = 0

    def fault(self, client_index: int, message_type: str, group_id: str) -> Fault | None:
        """UNAVAILABLE with probability `rate`; the same for the same arguments."""
        if message_type != "train":
            return None
        entropy = [self.seed, client_index, *group_id.encode()]
        lost = np.random.default_rng(entropy).random() < self.rate
        return Fault.UNAVAILABLE if lost else None
