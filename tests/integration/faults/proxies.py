"""A way to a server that stalls, delays and breaks, where no network of our own can be made.

What a lossy network does to TCP is here what TCP makes of it: bytes that come late, or never.
"""

import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_CHUNK, _LOOK_S = 1 << 16, 0.02
UP, DOWN = 0, 1


@dataclass
class _Pair:
    """One connection: the site's end and the server's."""

    ends: tuple[socket.socket, socket.socket]
    held: tuple[deque[tuple[float, bytes]], deque[tuple[float, bytes]]] = field(
        default_factory=lambda: (deque(), deque())
    )
    ended: list[bool] = field(default_factory=lambda: [False, False])


class Proxy:
    """Listens on a port of its own, and carries to one of the server's.

    Attributes:
        stalled: By direction: nothing comes through.
        delay_s: Of all bytes, in each direction.
        accepted: Connections so far.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self.stalled = [False, False]
        self.delay_s = 0.0
        self.accepted = 0
        self._pairs: list[_Pair] = []
        self._cut, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Break every connection, at once."""
        self._cut.set()

    def close(self) -> None:
        """Carry no more."""
        self._stop.set()
        self._thread.join()

    def _carry(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._listener, selectors.EVENT_READ)
            while not self._stop.is_set():
                for key, _ in ready.select(_LOOK_S):
                    if key.fileobj is self._listener:
                        self._accept(ready)
                    else:
                        self._take(ready, *key.data)
                for pair in list(self._pairs):
                    self._pass_on(ready, pair)
                if self._cut.is_set():
                    self._cut.clear()
                    for pair in list(self._pairs):
                        self._close(ready, pair)
            for pair in list(self._pairs):
                self._close(ready, pair)
        self._listener.close()

    def _accept(self, ready: selectors.BaseSelector) -> None:
        site, _ = self._listener.accept()
        self.accepted += 1
        try:
            server = socket.create_connection(("127.0.0.1", self._target), 5.0)
        except OSError:
            site.close()
            return
        pair = _Pair((site, server))
        for way, end in enumerate(pair.ends):
            end.settimeout(5.0)
            ready.register(end, selectors.EVENT_READ, (pair, way))
        self._pairs.append(pair)

    def _take(self, ready: selectors.BaseSelector, pair: _Pair, way: int) -> None:
        try:
            content = pair.ends[way].recv(_CHUNK)
        except OSError:
            self._close(ready, pair)
            return
        pair.held[way].append((time.monotonic(), content))
        if not content:
            ready.unregister(pair.ends[way])

    def _pass_on(self, ready: selectors.BaseSelector, pair: _Pair) -> None:
        for way in (UP, DOWN):
            held = pair.held[way]
            while held and not self.stalled[way] and held[0][0] + self.delay_s <= time.monotonic():
                content = held.popleft()[1]
                try:
                    if not content:
                        self._close(ready, pair)
                        return
                    pair.ends[1 - way].sendall(content)
                except OSError:
                    self._close(ready, pair)
                    return

    def _close(self, ready: selectors.BaseSelector, pair: _Pair) -> None:
        for end in pair.ends:
            with suppress(KeyError, ValueError):
                ready.unregister(end)
            with suppress(OSError):
                end.close()
        if pair in self._pairs:
            self._pairs.remove(pair)


@contextmanager
def proxies(found: list[Proxy]) -> Iterator[None]:
    """All of `found` are closed at the end."""
    try:
        yield
    finally:
        for proxy in found:
            proxy.close()
