"""What a round took: seconds, and how many bytes of content its messages held, both ways.

Of content alone: what Flower, gRPC and TLS put around it is not counted, nor are enrolments. No
claim covers these numbers: with answers of equal length they tell how many answered.
"""

import time
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

from flwr.app import Message

from server.sizes import size_of


@dataclass(slots=True)
class Spent:
    """By one round so far.

    Attributes:
        down: Bytes to clients.
        up: Bytes from them.
    """

    down: int = 0
    up: int = 0
    _began: float = field(default_factory=time.monotonic, repr=False)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    @property
    def bytes(self) -> tuple[int | None, int | None]:
        """Down and up; None and None where no message was made, as by a cohort engine."""
        return (self.down, self.up) if self.down else (None, None)


_CURRENT: ContextVar[Spent | None] = ContextVar("spent", default=None)


def begun() -> Spent:
    """A round begins; what is exchanged in this thread from now on is its own."""
    found = Spent()
    _CURRENT.set(found)
    return found


def sent(messages: Sequence[Message]) -> None:
    """These go to clients."""
    if (spent := _CURRENT.get()) is None:
        return
    sizes: dict[int, int] = {}
    for message in messages:
        # One record serves a whole cohort, and is measured once.
        record = message.content
        if id(record) not in sizes:
            sizes[id(record)] = size_of(record)
        spent.down += sizes[id(record)]


def received(reply: Message) -> None:
    """This came from a client."""
    spent = _CURRENT.get()
    if spent is not None and reply.has_content():
        spent.up += size_of(reply.content)
