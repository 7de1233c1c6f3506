"""Who is at the other end of a connection, and how many connections it may hold.

Until a certificate is shown, a connection is a newcomer's: there are only so many of them, the
oldest gives way to the newest once it had its time for a handshake, and none lives long. So
strangers who open connections and say nothing keep nobody out, and many sites that come at once do
not push each other out. A site's oldest gives way likewise: after a network was cut, what is left
of its connections must not keep the new ones out; but none on which a request is under way does
while there is an idle one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from server.authority import serial_of

GRACE_S = 0.5
Close = Callable[[], None]
Busy = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Peer:
    """A certificate that the TLS handshake has proved.

    Attributes:
        name: The name in it.
        serial: Its number, hexadecimal.
    """

    name: str
    serial: str


def peer_of(certificate: bytes | None) -> Peer | None:
    """The peer of a certificate in DER that the handshake has checked; None for none."""
    if not certificate:
        return None
    parsed = x509.load_der_x509_certificate(certificate)
    names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Peer(str(names[0].value), serial_of(parsed)) if len(names) == 1 else None


class Connections:
    """All open connections, each by a key, with what closes it.

    Args:
        newcomers: Most that have shown no certificate.
        per_site: Most of one site.
        clock: Seconds, never going back.
    """

    def __init__(
        self, newcomers: int, per_site: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most_newcomers = newcomers
        self._most_per_site = per_site
        self._clock = clock
        self._since: dict[int, float] = {}
        self._newcomers: dict[int, Close] = {}
        self._by_site: dict[str, dict[int, tuple[Close, Busy]]] = {}

    def room(self) -> bool:
        """Whether one newcomer more may be accepted; the oldest may have given way for it."""
        if len(self._newcomers) < self._most_newcomers:
            return True
        oldest = next(iter(self._newcomers))
        if self._clock() - self._since[oldest] < GRACE_S:
            return False
        self._newcomers[oldest]()
        self._forget(oldest)
        return True

    def arrive(self, key: int, close: Close) -> None:
        """A connection was accepted; the handshake is still to come."""
        self._newcomers[key], self._since[key] = close, self._clock()

    def certified(self, key: int, name: str, close: Close, busy: Busy = lambda: False) -> None:
        """The connection `key` has shown a certificate of `name`.

        Args:
            key: As it arrived.
            name: The site.
            close: Ends it at once.
            busy: Whether a request is under way on it: it was taken, and is not yet answered.
        """
        self._forget(key)
        own = self._by_site.setdefault(name, {})
        while len(own) >= self._most_per_site:
            idle = (old for old, (_, at_work) in own.items() if not at_work())
            end, _ = own.pop(next(idle, next(iter(own))))
            end()
        own[key] = close, busy

    def leave(self, key: int, name: str | None) -> None:
        """The connection `key` is closed."""
        self._forget(key)
        own = self._by_site.get(name or "", {})
        own.pop(key, None)
        if not own:
            self._by_site.pop(name or "", None)

    def close_site(self, name: str) -> int:
        """Close every connection of `name`; returns how many there were."""
        own = self._by_site.pop(name, {})
        for close, _ in own.values():
            close()
        return len(own)

    def count(self) -> dict[str, int]:
        """Open connections: of newcomers, and of sites together."""
        certified = sum(len(own) for own in self._by_site.values())
        return {"newcomers": len(self._newcomers), "sites": certified}

    def names(self) -> set[str]:
        """Sites that hold a connection."""
        return set(self._by_site)

    def _forget(self, key: int) -> None:
        self._newcomers.pop(key, None)
        self._since.pop(key, None)
