"""Messages out, replies in as they come, until all are there or the deadline has passed.

A reply of more bytes than an honest one has becomes an error reply before any of it is decoded.

Flower's own `send_and_receive` sleeps three seconds between polls over HTTP and keeps all replies
in memory; this hands each on at once.
"""

import time
from collections.abc import Iterator, Sequence

from flwr.app import Error, Message
from flwr.app.message import make_message
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from server.bounded_grid import BoundedGrid
from server.sizes import size_of
from server.traffic import received, sent
from shared.errors import ProtocolError

POLL_INTERVAL_S, _LONGEST_INTERVAL_S = 0.1, 1.0
# Cost: a poll is some 15 ms of the server's, which sites want in the meantime, too.
_SHARE_OF_WAITING = 0.05
_PULLED_AT_ONCE = 64
_LONGEST_REASON, _LONGEST_TEXT = 200, 2000


def exchange(
    grid: Grid, messages: Sequence[Message], timeout_s: float, *, most_bytes: int
) -> Iterator[tuple[int, Message]]:
    """Yield (position in `messages`, reply), each position at most once, in order of arrival.

    Args:
        grid: Any Flower grid.
        messages: What to send; one that the grid does not accept is never answered.
        timeout_s: Seconds from now; what comes later is never yielded.
        most_bytes: Of an honest reply.

    Raises:
        ProtocolError: the grid accepted none of the messages.
    """
    deadline = time.monotonic() + timeout_s
    sent(messages)
    waiting, asked = push(grid, messages), time.monotonic()
    del messages  # a model may be in them
    while waiting:
        found_any = False
        for found in arrived(grid, waiting, most_bytes):
            found_any = True
            received(found[1])
            yield found
            del found  # before the next is pulled
        # Checked between passes only: what has arrived is never thrown away.
        if (now := time.monotonic()) >= deadline:
            return
        if waiting and not found_any:
            time.sleep(min(_interval(now - asked), deadline - now))


def _interval(waited_s: float) -> float:
    """Seconds until the next poll: a twentieth of what was waited for already, within bounds."""
    return min(max(POLL_INTERVAL_S, waited_s * _SHARE_OF_WAITING), _LONGEST_INTERVAL_S)


def reason_of(reply: Message) -> str:
    """Why a client did not answer, cut short."""
    return cut(reply.error.reason or f"error code {reply.error.code}")


def cut(text: object) -> str:
    """One line of at most 200 characters: for the log, where another party wrote the text.

    What a terminal would obey instead of showing is a question mark.
    """
    line = " ".join(str(text)[:_LONGEST_TEXT].split())
    line = "".join(letter if letter.isprintable() else "?" for letter in line)
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


def arrived(grid: Grid, waiting: dict[str, int], most_bytes: int) -> Iterator[tuple[int, Message]]:
    """All that has come of what is waited for, with what `waiting` says of it; taken out of it.

    Args:
        grid: Any Flower grid.
        waiting: What is waited for, by the ids of `push`.
        most_bytes: Of an honest reply; a larger one is an error.
    """
    if isinstance(grid, BoundedGrid):
        grid.most_bytes = most_bytes
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
                    yield position, _bounded(reply, most_bytes)
                del reply


def _bounded(reply: Message, most_bytes: int) -> Message:
    if reply.has_error() or (found := size_of(reply.content)) <= most_bytes:
        return reply
    reason = f"expected at most {most_bytes} bytes, got {found}"
    return make_message(
        reply.metadata, error=Error(code=ErrorCode.MESSAGE_UNAVAILABLE, reason=reason)
    )
