"""A token of an invitation becomes a site; nothing is signed before all of a request is checked.

What a site sends is its public halves alone: keys are made at the site and never leave it.
Each method is one request; what goes wrong is an `Refused`, and then nothing changed.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from server.app_key import public_hex, read_app_key, signature_of
from server.authority import Authority, checked_request, key_digest
from server.home import ServerHome
from server.invitations import Invitations
from server.refusals import Refused
from server.sites import EnrolledSite, Sites, checked_identity, checked_node_key

ENROLMENT_VERSION = 1
LARGEST_REQUEST = 1 << 14


class Recorder(Protocol):
    """Where what happened is kept: an audit log, or nowhere."""

    def __call__(self, event: str, /, **detail: Any) -> None:
        """Keep one event."""


def unrecorded(event: str, /, **detail: Any) -> None:
    """Keep nothing."""


@dataclass(frozen=True, slots=True)
class EnrolRequest:
    """What a site sends to join; every field is text.

    Attributes:
        token: Of its invitation.
        name: Its name.
        csr: Certificate request in PEM, over a P-256 key.
        node_key: ECDSA P-384 public key in PEM.
        identity: Ed25519 public key, hexadecimal.
    """

    token: str
    name: str
    csr: str
    node_key: str
    identity: str

    @classmethod
    def from_body(cls, body: bytes) -> "EnrolRequest":
        """The request in `body`. Raises Refused (request_invalid)."""
        content = exact_fields(body, ("version", *cls.__slots__))
        version = content.pop("version")
        if type(version) is not int or version != ENROLMENT_VERSION:
            raise Refused("request_invalid", f"expected version {ENROLMENT_VERSION}")
        return cls(**texts(content))


class Enrolment:
    """Joins, renewals and the roster of one server.

    Args:
        home: The server's.
        authority: Signs.
        sites: The list that is changed.
        invitations: What lets in.
        record: Where events are kept.
    """

    def __init__(
        self,
        home: ServerHome,
        authority: Authority,
        sites: Sites,
        invitations: Invitations,
        record: Recorder = unrecorded,
    ) -> None:
        self._home = home
        self._authority = authority
        self._sites = sites
        self._invitations = invitations
        self._record = record
        self._app_key = read_app_key(home)

    def enrol(self, body: bytes) -> dict[str, Any]:
        """The answer to `POST /enrol`. Raises Refused."""
        request = EnrolRequest.from_body(body)
        with self._home.locked():
            repeated = self._repeated(request)
            if repeated is None:
                self._invitations.check(request.token, request.name)
            # Cost: only whoever holds a token makes the server look at keys.
            node_key, identity = (
                checked_node_key(request.node_key),
                checked_identity(request.identity),
            )
            if repeated is None:
                self._sites.check_new(request.name, node_key, identity)
            elif (repeated.node_key, repeated.identity) != (node_key, identity):
                raise Refused("token_used", "expected a token that let nobody in yet")
            issued = self._authority.issue_site(request.name, request.csr)
            if repeated is None:
                # Guarantee: the token is spent on disk before the certificate counts.
                self._invitations.use(request.token)
                self._sites.add(request.name, node_key, identity, issued)
            else:
                self._sites.renew(request.name, issued)
        self._record(
            "joined",
            site=request.name,
            serial=issued.serial,
            identity=identity,
            again=repeated is not None,
        )
        return {
            "certificate": issued.pem,
            "ca": self._authority.pem,
            "app_key": public_hex(self._app_key),
            "name": request.name,
        }

    def _repeated(self, request: EnrolRequest) -> EnrolledSite | None:
        """The site, where this is the request that enrolled it: its answer may have been lost."""
        if self._invitations.used_for(request.token) != request.name:
            return None
        site = self._sites.active().get(request.name)
        # Guarantee: the same private key, so that a token which was used lets nobody else in.
        csr_key = checked_request(request.csr, request.name).public_key()
        return site if site is not None and site.key_digest == key_digest(csr_key) else None

    def renew(self, name: str, body: bytes) -> dict[str, Any]:
        """The answer to `POST /renew` of the site `name`. Raises Refused."""
        csr = texts(exact_fields(body, ("csr",)))["csr"]
        issued = self._authority.issue_site(name, csr)
        with self._home.locked():
            if name not in self._sites.active():
                raise Refused("certificate_refused", "expected a site that takes part")
            self._sites.renew(name, issued)
        self._record("renewed", site=name, serial=issued.serial)
        return {"certificate": issued.pem}

    def roster(self) -> dict[str, Any]:
        """The answer to `GET /roster`."""
        roster = self._sites.roster()
        return {"roster": roster, "signature": signature_of(self._app_key, roster)}


def exact_fields(body: bytes, names: tuple[str, ...]) -> dict[str, Any]:
    """The JSON object in `body`, of exactly these fields. Raises Refused."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused("request_invalid", "expected JSON") from error
    if not isinstance(content, dict) or set(content) != set(names):
        raise Refused("request_invalid", f"expected the fields {', '.join(names)}")
    return content


def texts(content: Mapping[str, Any]) -> dict[str, str]:
    """`content`, if every value is text. Raises Refused (request_invalid)."""
    if not all(isinstance(value, str) for value in content.values()):
        raise Refused("request_invalid", "expected text in every field")
    return dict(content)
