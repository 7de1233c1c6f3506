"""Enrolled sites: a certificate counts as long as the server itself lists its number.

That a certificate was signed by the authority is not enough: it must be one that is on the list
of its site, of a site that is not revoked. So whoever is taken off the list is out at once.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from server.authority import Issued
from server.home import ServerHome, Watched
from server.invitations import Clock
from server.refusals import Refused
from shared.durable import read_json, write_json
from shared.errors import ConfigurationError, StateError

ROSTER_FORMAT = "murmura-roster-1"
ACTIVE, REVOKED = "active", "revoked"
_LONGEST_KEY = 1024
_MOST_CERTIFICATES = 3  # of one site at a time: a renewal must not end requests under way


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledSite:
    """What the server knows of a site.

    Attributes:
        name: Its name.
        node_key: ECDSA P-384 public key in PEM: Flower's node authentication.
        identity: Ed25519 public key, hexadecimal: secure aggregation.
        certificates: End, in seconds since 1970, of each certificate by its number.
        key_digest: SHA-256 of the key of its last certificate.
        joined: When it enrolled.
        state: active or revoked.
    """

    name: str
    node_key: str
    identity: str
    certificates: Mapping[str, float]
    key_digest: str
    joined: float
    state: str = ACTIVE

    @property
    def expires(self) -> float:
        """When its last certificate ends."""
        return max(self.certificates.values(), default=0.0)


class Sites:
    """The list of one server; callers hold `ServerHome.locked` where they change it.

    Args:
        home: Where it lies.
        clock: Seconds since 1970.
    """

    def __init__(self, home: ServerHome, clock: Clock = time.time) -> None:
        self._home = home
        self._clock = clock
        self._watched = Watched(home.sites, _read)

    def all(self) -> dict[str, EnrolledSite]:
        """By name; as of now, whatever process changed it. Raises StateError."""
        return self._watched.value()

    def active(self) -> dict[str, EnrolledSite]:
        """Those that take part."""
        return {name: site for name, site in self.all().items() if site.state == ACTIVE}

    def admitted(self, name: str, serial: str) -> EnrolledSite | None:
        """The site, if this certificate of it counts now."""
        site = self.all().get(name)
        # Guarantee: nobody whose certificate is not on the list reaches Flower.
        if site is None or site.state != ACTIVE:
            return None
        return site if self._clock() < site.certificates.get(serial, 0.0) else None

    def check_new(self, name: str, node_key: str, identity: str) -> None:
        """Raise Refused (name_taken, key_invalid) unless such a site may be added."""
        known = self.all()
        if name in self.active():
            raise Refused("name_taken", f"expected a new name, got {name!r}")
        if any(site.node_key == node_key for site in known.values()):
            raise Refused("key_invalid", "expected a node key that no site has had")
        if any(site.identity == identity for site in known.values()):
            raise Refused("key_invalid", "expected an identity that no site has had")

    def add(self, name: str, node_key: str, identity: str, issued: Issued) -> EnrolledSite:
        """A new site; one of that name that was revoked gives way, and its keys stay refused."""
        sites = dict(self.all())
        if name in sites:
            before = sites.pop(name)
            sites[f"{name} of {before.joined!r}"] = before
        site = EnrolledSite(
            name=name,
            node_key=node_key,
            identity=identity,
            certificates={issued.serial: issued.expires},
            key_digest=issued.key_digest,
            joined=self._clock(),
        )
        sites[name] = site
        self._save(sites)
        return site

    def renew(self, name: str, issued: Issued) -> None:
        """One certificate more for `name`; of those before, the newest few count on."""
        sites = dict(self.all())
        now = self._clock()
        live = [(serial, end) for serial, end in sites[name].certificates.items() if end > now]
        newest = dict([*live[1 - _MOST_CERTIFICATES :], (issued.serial, issued.expires)])
        sites[name] = replace(sites[name], certificates=newest, key_digest=issued.key_digest)
        self._save(sites)

    def revoke(self, name: str) -> EnrolledSite:
        """`name` is out, with all its certificates.

        Raises:
            ConfigurationError: no active site has that name.
        """
        site = self.active().get(name)
        if site is None:
            names = ", ".join(sorted(self.active())) or "none"
            raise ConfigurationError(f"expected an enrolled site ({names}), got {name!r}")
        revoked = read_json(self._home.pki / "revoked.json")
        at = self._clock()
        serials = revoked.get("serials", {}) | {
            serial: {"name": name, "at": at} for serial in site.certificates
        }
        write_json(self._home.pki / "revoked.json", {"serials": serials})
        sites = dict(self.all())
        sites[name] = replace(site, state=REVOKED)
        self._save(sites)
        return sites[name]

    def roster(self) -> dict[str, Any]:
        """Who takes part in secure aggregation, in the form that sites keep it."""
        clients = {name: site.identity for name, site in sorted(self.active().items())}
        return {"format": ROSTER_FORMAT, "clients": clients}

    def _save(self, sites: Mapping[str, EnrolledSite]) -> None:
        write_json(self._home.sites, {"sites": {name: asdict(s) for name, s in sites.items()}})


def _read(path: Path) -> dict[str, EnrolledSite]:
    try:
        stored = read_json(path).get("sites", {})
        sites = {name: EnrolledSite(**entry) for name, entry in stored.items()}
        for site in sites.values():
            if site.state not in {ACTIVE, REVOKED}:
                raise ValueError(site.state)
            {serial: float(end) for serial, end in site.certificates.items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise StateError(f"{path} must hold sites, got something else") from error
    return sites


def checked_node_key(pem: str) -> str:
    """A node key in the spelling that Flower compares.

    Raises:
        Refused: key_invalid, unless it is a public key of P-384.
    """
    try:
        if len(pem) > _LONGEST_KEY:
            raise ValueError
        key = load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Refused("key_invalid", "expected a node key in PEM") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise Refused("key_invalid", "expected a node key of curve P-384")
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def checked_identity(text: str) -> str:
    """An identity in lower case. Raises Refused unless it is an Ed25519 key in hex."""
    try:
        content = bytes.fromhex(text)
        Ed25519PublicKey.from_public_bytes(content)
    except ValueError as error:
        raise Refused("key_invalid", "expected an Ed25519 key in hexadecimal") from error
    return content.hex()
