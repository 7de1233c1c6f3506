"""A site that asks for messages is answered when there is one, or after a while that there is none.

Asking Flower costs some milliseconds and a write to its database, also where nothing waits, and
sites ask several times a second. Here one look for all of them together, a few times a second,
says whose question is worth passing on. The more sites wait, the longer each does, so that no more
than some fifty a second are told that there is nothing.
"""

import asyncio
from collections.abc import Callable

WAIT_S, LONGEST_S, LOOK_S = 2.0, 10.0, 0.05  # a site's own patience is 30 s
_TOLD_A_SECOND = 50


class Mailbox:
    """Who waits for messages.

    Args:
        addressed: Node keys for which Flower holds a message that was not delivered.
        wait_s: Seconds after which the answer is no, where few wait.
    """

    def __init__(self, addressed: Callable[[], set[str]], wait_s: float = WAIT_S) -> None:
        self._addressed = addressed
        self.wait_s = wait_s
        self._waiting: dict[str, asyncio.Event] = {}
        self._somebody = asyncio.Event()
        self._closed = False

    async def wait(self, node_key: str) -> bool:
        """Whether there is a message for this node; says no after 10 s at the latest."""
        if self._closed:
            return False
        arrived = self._waiting.setdefault(node_key, asyncio.Event())
        self._somebody.set()
        try:
            await asyncio.wait_for(arrived.wait(), self._patience())
        except TimeoutError:
            return False
        finally:
            if self._waiting.get(node_key) is arrived:
                del self._waiting[node_key]
        return not self._closed

    def _patience(self) -> float:
        return max(self.wait_s, min(LONGEST_S, len(self._waiting) / _TOLD_A_SECOND))

    async def run(self) -> None:
        """Look for all who wait, for as long as somebody does."""
        while True:
            await self._somebody.wait()
            if not self._waiting:
                self._somebody.clear()
                continue
            for node_key in await asyncio.to_thread(self._addressed):
                if node_key in self._waiting:
                    self._waiting[node_key].set()
            await asyncio.sleep(LOOK_S)

    def close(self) -> None:
        """Let everybody go; nobody waits from now on."""
        self._closed = True
        for arrived in self._waiting.values():
            arrived.set()
