"""Who is at the other end of a connection, and how many connections it may hold.

Until a certificate is shown, a connection is a newcomer's: there are only so many of them, the
oldest gives way to the newest, and none lives long. So strangers who open connections and say
nothing keep nobody out. A site's oldest gives way likewise: after a network was cut, what is left
of its connections must not keep the new ones out.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from server.authority import serial_of

Close = Callable[[], None]


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
    """

    def __init__(self, newcomers: int, per_site: int) -> None:
        self._most_newcomers = newcomers
        self._most_per_site = per_site
        self._newcomers: dict[int, Close] = {}
        self._by_site: dict[str, dict[int, Close]] = {}

    def arrive(self, key: int, close: Close) -> None:
        """A connection was accepted; the handshake is still to come."""
        while len(self._newcomers) >= self._most_newcomers:
            self._oldest(self._newcomers)()
        self._newcomers[key] = close

    def certified(self, key: int, name: str, close: Close) -> None:
        """The connection `key` has shown a certificate of `name`."""
        self._newcomers.pop(key, None)
        own = self._by_site.setdefault(name, {})
        while len(own) >= self._most_per_site:
            self._oldest(own)()
        own[key] = close

    def leave(self, key: int, name: str | None) -> None:
        """The connection `key` is closed."""
        self._newcomers.pop(key, None)
        own = self._by_site.get(name or "", {})
        own.pop(key, None)
        if not own:
            self._by_site.pop(name or "", None)

    def close_site(self, name: str) -> int:
        """Close every connection of `name`; returns how many there were."""
        own = self._by_site.pop(name, {})
        for close in own.values():
            close()
        return len(own)

    def count(self) -> dict[str, int]:
        """Open connections: of newcomers, and of sites together."""
        certified = sum(len(own) for own in self._by_site.values())
        return {"newcomers": len(self._newcomers), "sites": certified}

    def names(self) -> set[str]:
        """Sites that hold a connection."""
        return set(self._by_site)

    @staticmethod
    def _oldest(connections: dict[int, Close]) -> Close:
        return connections.pop(next(iter(connections)))
