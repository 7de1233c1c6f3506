"""From an invitation to a site's home: keys made here, the server known before anything is sent.

    line -> connect, take the chain that is offered, refuse unless its authority has the fingerprint
    of the line -> connect again, verified, name and all -> POST /enrol: token, certificate request,
    public halves of the other keys -> check what comes back -> write it

A join that broke off is begun again with the same line: the keys are still there, and a server
that has let these keys in answers the same request again.
"""

import base64
import binascii
import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from client.asking import asked, text_of
from client.certificates import SiteCertificate, checked_authority, checked_certificate
from client.home import SiteHome
from client.ledger import Ledger
from client.ledger_journal import JOURNAL
from client.ledger_state import Grant
from client.policy import SitePolicy
from client.recorder import Recorder, unrecorded
from client.site_keys import (
    certificate_request,
    identity_hex,
    make_keys,
    node_key_pem,
    read_curve_key,
)
from client.site_settings import Demonstration, SiteSettings, WhoseSite, WorkerSettings
from client.tls import authority_context, offered_authority, split_address
from shared.durable import write_private
from shared.errors import ConfigurationError, ProtocolError, StateError

PREFIX = "murmura1:"
ENROLMENT_VERSION = 1
_FIELDS = {"address": str, "ca": str, "token": str, "name": str, "expires": int}
_SITE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
_HASH = re.compile(r"[0-9a-f]{64}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the line of a server's operator says.

    Attributes:
        address: host:port.
        authority: SHA-256 of the server's CA certificate, hexadecimal.
        token: Lets this site in, once.
        name: Of this site.
        expires: Seconds since 1970.
    """

    address: str
    authority: str
    token: str = field(repr=False)
    name: str
    expires: int

    @classmethod
    def parse(cls, line: str) -> "Invitation":
        """The invitation in `line`.

        Raises:
            ConfigurationError: it is none; says what is wrong, and shows nothing of the token.
        """
        text = "".join(line.split())  # a mail program may have broken it
        if not text.startswith(PREFIX) or len(text) > _LONGEST:
            raise ConfigurationError(f"expected a line that begins with {PREFIX}")
        try:
            coded = text[len(PREFIX) :]
            content = json.loads(
                base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True)
            )
        except (ValueError, binascii.Error, RecursionError) as error:
            raise ConfigurationError("the invitation is not whole: copy all of it") from error
        kinds = {name: type(value) for name, value in content.items()} if isinstance(
            content, dict
        ) else {}  # fmt: skip
        if kinds != _FIELDS:
            raise ConfigurationError(f"expected an invitation of {sorted(_FIELDS)}")
        split_address(content["address"])
        for name, form in (("ca", _HASH), ("token", _TOKEN), ("name", _SITE_NAME)):
            if not form.fullmatch(content[name]):
                raise ConfigurationError(f"expected another form of {name!r} in the invitation")
        return cls(
            content["address"], content["ca"], content["token"], content["name"],
            content["expires"],
        )  # fmt: skip

    def check_time(self, now: float) -> None:
        """Raise ProtocolError if it has expired by this machine's clock."""
        if now >= self.expires:
            since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(self.expires))
            raise ProtocolError(
                f"the invitation expired at {since}; ask for another, or set this machine's clock"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the site's owner decides.

    Attributes:
        data: Folder of the data; None in a demonstration.
        grant: The privacy budget.
        policy: Rules.
        worker: How code is shut in.
        demonstration: Which part of one data set, where there are no data of its own.
    """

    data: Path | None
    grant: Grant
    policy: SitePolicy = field(default_factory=SitePolicy)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    demonstration: Demonstration = field(default_factory=Demonstration)

    def check(self, home: SiteHome) -> None:
        """Raise ConfigurationError unless the data are there, and not in the home."""
        if self.data is None:
            return
        if not self.data.is_dir():
            raise ConfigurationError(f"expected a folder of data in {self.data}, got none")
        # The worker sees the data and must not see the home.
        if self.data.resolve().is_relative_to(home.root.resolve()):
            raise ConfigurationError(f"expected data outside of {home.root}, got {self.data}")


def join(
    home: SiteHome, invitation: Invitation, choices: Choices, record: Recorder = unrecorded
) -> SiteCertificate:
    """Enrol, and write everything that `murmura client start` needs.

    Raises:
        ServerRefused: the server does not let this site in; its code says why.
        ProtocolError: another server, an expired invitation, or a wrong answer.
        ConfigurationError: there are no data.
        StateError: a site joined from this home before, or it cannot be written.
    """
    if home.certificate.exists():
        raise StateError(f"expected no site in {home.root}, got one: it joined before")
    choices.check(home)
    invitation.check_time(time.time())
    home.create()
    authority_pem = offered_authority(invitation.address, invitation.authority)
    make_keys(home)
    answer = asked(
        invitation.address,
        authority_context(authority_pem),
        "/enrol",
        {
            "version": ENROLMENT_VERSION,
            "token": invitation.token,
            "name": invitation.name,
            "csr": certificate_request(home, invitation.name),
            "node_key": node_key_pem(home),
            "identity": identity_hex(home),
        },
    )
    authority = checked_authority(text_of(answer, "ca"), invitation.authority)
    certificate_pem = text_of(answer, "certificate")
    key = read_curve_key(home.key)
    found = checked_certificate(certificate_pem, invitation.name, key, authority)
    app_key = text_of(answer, "app_key")
    if not _HASH.fullmatch(app_key) or text_of(answer, "name") != invitation.name:
        raise ProtocolError("expected the server's app key, and this site's name")
    _write(home, invitation, choices, app_key)
    write_private(home.authority, authority_pem.encode())
    record(
        "joined",
        server=invitation.address.replace("[", "").replace("]", ""),
        serial=found.serial,
        expires=int(found.expires),
        authority=invitation.authority,
        identity=identity_hex(home),
    )
    # Last: whoever finds it finds all the rest.
    write_private(home.certificate, certificate_pem.encode())
    return found


def _write(home: SiteHome, invitation: Invitation, choices: Choices, app_key: str) -> None:
    if not (home.ledger / JOURNAL).exists():
        Ledger.create(home.ledger, choices.grant)
    settings = SiteSettings(
        site=WhoseSite(
            name=invitation.name,
            server=invitation.address,
            authority=invitation.authority,
            app_key=app_key,
            data="" if choices.data is None else str(choices.data.resolve()),
        ),
        policy=choices.policy,
        worker=choices.worker,
        demonstration=choices.demonstration,
    )
    write_private(home.settings, settings.to_toml().encode())
