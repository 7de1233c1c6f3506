"""Messages out, replies in as they come, until all are there or the deadline has passed.

Flower's own `send_and_receive` sleeps three seconds between polls over HTTP and keeps all replies
in memory; this hands each on at once.
"""

import time
from collections.abc import Iterator, Sequence

from flwr.app import Message
from flwr.serverapp import Grid

from shared.errors import ProtocolError

POLL_INTERVAL_S = 0.1
_PULLED_AT_ONCE = 256
_LONGEST_REASON = 200


def exchange(
    grid: Grid, messages: Sequence[Message], timeout_s: float
) -> Iterator[tuple[int, Message]]:
    """Yield (position in `messages`, reply), each position at most once, in order of arrival.

    Args:
        grid: Any Flower grid.
        messages: What to send; one that the grid does not accept is never answered.
        timeout_s: Seconds from now; what comes later is never yielded.

    Raises:
        ProtocolError: the grid accepted none of the messages.
    """
    deadline = time.monotonic() + timeout_s
    waiting = push(grid, messages)
    while waiting:
        found_any = False
        for found in arrived(grid, waiting):
            found_any = True
            yield found
        # Checked between passes only: what has arrived is never thrown away.
        if time.monotonic() >= deadline:
            return
        if waiting and not found_any:
            time.sleep(min(POLL_INTERVAL_S, max(0.0, deadline - time.monotonic())))


def reason_of(reply: Message) -> str:
    """Why a client did not answer, cut short."""
    return cut(reply.error.reason or f"error code {reply.error.code}")


def cut(text: object) -> str:
    """One line of at most 200 characters: for the log, where another party wrote the text."""
    line = " ".join(str(text).split())
    return line if len(line) <= _LONGEST_REASON else line[: _LONGEST_REASON - 1] + "…"


def push(grid: Grid, messages: Sequence[Message]) -> dict[str, int]:
    """Id -> position of every message that the grid accepted; Flower gives None for the others.

    Raises:
        ProtocolError: the grid accepted none of the messages.
    """
    ids: list[str | None] = list(grid.push_messages(list(messages))) if messages else []
    if len(ids) != len(messages):
        # Flower's HTTP grid answers so where the request was too large.
        raise ProtocolError(f"expected the ids of {len(messages)} messages, got {len(ids)}")
    return {name: position for position, name in enumerate(ids) if name}


def arrived(grid: Grid, waiting: dict[str, int]) -> Iterator[tuple[int, Message]]:
    """All that has come of what is waited for, with what `waiting` says of it; taken out of it."""
    names = list(waiting)
    for start in range(0, len(names), _PULLED_AT_ONCE):
        window = names[start : start + _PULLED_AT_ONCE]
        fresh = True
        while fresh and (missing := [name for name in window if name in waiting]):
            fresh = False
            for reply in grid.pull_messages(missing):
                position = waiting.pop(reply.metadata.reply_to_message_id, None)
                if position is not None:
                    fresh = True
                    yield position, reply
