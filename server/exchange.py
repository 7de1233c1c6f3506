"""Messages out, replies in as they come, until all are there or the deadline has passed.

Flower's own `send_and_receive` sleeps three seconds between polls over HTTP and keeps all replies
in memory; this hands each on at once.
"""

import time
from collections.abc import Iterator, Sequence

from flwr.app import Message
from flwr.serverapp import Grid

POLL_INTERVAL_S = 0.1
_PULLED_AT_ONCE = 256
_LONGEST_REASON = 200


def exchange(
    grid: Grid, messages: Sequence[Message], timeout_s: float
) -> Iterator[tuple[int, Message]]:
    """Yield (position in `messages`, reply), each position at most once, in order of arrival.

    Args:
        grid: Any Flower grid.
        messages: What to send.
        timeout_s: Seconds from now; what comes later is never yielded.
    """
    deadline = time.monotonic() + timeout_s
    waiting = dict(zip(grid.push_messages(list(messages)), range(len(messages)), strict=True))
    while waiting:
        arrived = False
        for found in _arrived(grid, waiting):
            arrived = True
            yield found
        # Checked between passes only: what has arrived is never thrown away.
        if time.monotonic() >= deadline:
            return
        if waiting and not arrived:
            time.sleep(min(POLL_INTERVAL_S, max(0.0, deadline - time.monotonic())))


def reason_of(reply: Message) -> str:
    """Why a client did not answer, cut short: the text comes from another party."""
    reason = str(reply.error.reason or f"error code {reply.error.code}")
    return reason[:_LONGEST_REASON]


def _arrived(grid: Grid, waiting: dict[str, int]) -> Iterator[tuple[int, Message]]:
    """One pass over what is waited for; takes out of `waiting` what has come."""
    names = list(waiting)
    for start in range(0, len(names), _PULLED_AT_ONCE):
        window = names[start : start + _PULLED_AT_ONCE]
        while replies := list(grid.pull_messages([name for name in window if name in waiting])):
            for reply in replies:
                position = waiting.pop(reply.metadata.reply_to_message_id, None)
                if position is not None:
                    yield position, reply
