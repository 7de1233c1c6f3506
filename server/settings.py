"""server.toml: under which names a server is reached, where it listens, what it bears."""

import ipaddress
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from shared.errors import ConfigurationError

PUBLIC_PORT, INTERNAL_PORT = 8443, 8444
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - the public port is meant to be reached
_DNS_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9-]{1,63})*")
HIGHEST_PORT = 65535
_MOST = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one peer may take of the server.

    Attributes:
        body_mib: Of one request; Flower sends an array in parts of 5 MiB.
        update_mib: Of all parts of one reply; at least the largest model's size, and for secure
            aggregation twice that.
        newcomers: Connections that have not shown a certificate; the oldest gives way.
        connections_per_site: Of one site, whose guard holds up to ten; the oldest idle gives way.
        requests_per_second: Of one site, on average; ten times as many at once.
    """

    body_mib: int = 8
    update_mib: int = 2048
    newcomers: int = 64
    connections_per_site: int = 16
    requests_per_second: int = 200

    def __post_init__(self) -> None:
        for key, value in asdict(self).items():
            if type(value) is not int or not 1 <= value <= _MOST:
                raise ConfigurationError(f"limits.{key} must be in 1..{_MOST}, got {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How a server is reached.

    Attributes:
        names: DNS names and IP addresses that its certificate holds; invitations tell the first.
        listen: Addresses that the public port is opened on.
        port: The public port; 0 takes a free one.
        internal_port: Of Flower's whole interface, on loopback; likewise.
        limits: What one peer may take.
    """

    names: tuple[str, ...]
    listen: tuple[str, ...] = EVERYWHERE
    port: int = PUBLIC_PORT
    internal_port: int = INTERNAL_PORT
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.names or len(set(self.names)) != len(self.names):
            raise ConfigurationError(f"names must be one or more, each once, got {self.names!r}")
        for name in self.names:
            checked_name(name)
        if not self.listen:
            raise ConfigurationError("listen must hold an address, got none")
        for address in self.listen:
            if address_of(address) is None:
                raise ConfigurationError(f"listen must hold IP addresses, got {address!r}")
        for key, port in (("port", self.port), ("internal_port", self.internal_port)):
            if type(port) is not int or not 0 <= port <= HIGHEST_PORT:
                raise ConfigurationError(f"{key} must be in 0..{HIGHEST_PORT}, got {port!r}")

    @classmethod
    def from_toml(cls, text: str) -> "ServerSettings":
        """The settings in `text`. Raises ConfigurationError; an unknown key is one."""
        try:
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"server.toml cannot be read: {error}") from error
        limits = content.pop("limits", {})
        _known(content, cls, "server.toml")
        if not isinstance(limits, dict):
            raise ConfigurationError(f"limits must be a table, got {limits!r}")
        _known(limits, Limits, "limits")
        for key in ("names", "listen"):
            given = content.get(key, [])
            if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
                raise ConfigurationError(f"{key} must be a list of texts, got {given!r}")
            if key in content:
                content[key] = tuple(given)
        if "names" not in content:
            raise ConfigurationError("server.toml must hold names, got none")
        return cls(**content, limits=Limits(**limits))

    def to_toml(self) -> str:
        """What `from_toml` reads back."""
        head = {key: value for key, value in asdict(self).items() if key != "limits"}
        lines = ["# Written by murmura server init; nothing needs to be changed."]
        lines += [f"{key} = {json.dumps(value)}" for key, value in head.items()]
        lines += ["", "[limits]"]
        lines += [f"{key} = {value}" for key, value in asdict(self.limits).items()]
        return "\n".join(lines) + "\n"


def _known(content: Mapping[str, Any], kind: type[Any], where: str) -> None:
    known = {entry.name for entry in fields(kind)}
    if unknown := sorted(set(content) - known):
        raise ConfigurationError(f"{where} knows {', '.join(sorted(known))}, got {unknown}")


def checked_name(name: str) -> str:
    """`name`, if it is a DNS name in lower case or an IP address without brackets.

    >>> checked_name("fl.example.org"), checked_name("2001:db8::1")
    ('fl.example.org', '2001:db8::1')
    """
    if address_of(name) is None and not _DNS_NAME.fullmatch(name):
        raise ConfigurationError(f"expected a DNS name or an IP address, got {name!r}")
    return name


def address_of(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """`name` as an IP address, if it is one."""
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def host_and_port(host: str, port: int) -> str:
    """As it is written: an IPv6 address has brackets.

    >>> host_and_port("2001:db8::1", 8443)
    '[2001:db8::1]:8443'
    """
    address = address_of(host)
    return f"[{host}]:{port}" if address is not None and address.version == 6 else f"{host}:{port}"
