"""What a site asks of its server once it belongs: a new certificate in time, and the roster."""

import time
from typing import Any

from cryptography import x509

from client.asking import asked, text_of
from client.certificates import SiteCertificate, checked_certificate, read_certificate
from client.home import SiteHome
from client.identity import ROSTER_FORMAT, read_roster
from client.recorder import Recorder, unrecorded
from client.site_keys import certificate_request, identity_hex, read_curve_key
from client.site_settings import WhoseSite
from client.tls import site_context
from shared.app_signatures import fingerprint, is_signed
from shared.durable import write_json, write_private
from shared.errors import ConfigurationError, ProtocolError, StateError


def renew(home: SiteHome, site: WhoseSite, record: Recorder = unrecorded) -> SiteCertificate:
    """A new certificate for the same key is in its place.

    Raises:
        ServerRefused: the site was revoked, or its certificate has expired.
        ProtocolError: no answer, or a wrong one; the old certificate stays.
    """
    answer = asked(
        site.server,
        site_context(home),
        "/renew",
        {"csr": certificate_request(home, site.name)},
    )
    pem = text_of(answer, "certificate")
    authority = _authority(home)
    found = checked_certificate(pem, site.name, read_curve_key(home.key), authority)
    # Before it counts: the log may tell more than happened, never less.
    record("renewed", serial=found.serial, expires=int(found.expires))
    write_private(home.certificate, pem.encode())
    return found


def renew_if_due(
    home: SiteHome, site: WhoseSite, record: Recorder = unrecorded
) -> SiteCertificate | None:
    """As `renew`, where two thirds of the certificate's life are over; else None."""
    if not read_certificate(home.certificate).is_due(time.time()):
        return None
    return renew(home, site, record)


def fetch_roster(home: SiteHome, site: WhoseSite) -> dict[str, Any]:
    """The server's roster, signed by its app key; nothing is accepted by that.

    Raises:
        ProtocolError: no answer, no roster, or not signed by the key that this site knows.
    """
    answer = asked(site.server, site_context(home), "/roster")
    roster = answer.get("roster")
    if not isinstance(roster, dict) or roster.get("format") != ROSTER_FORMAT:
        raise ProtocolError(f"expected a roster of the form {ROSTER_FORMAT}, got something else")
    if not is_signed(roster, text_of(answer, "signature"), site.app_key):
        raise ProtocolError("expected a roster signed by the server's app key, got another")
    return roster


def accept_roster(
    home: SiteHome,
    site: WhoseSite,
    roster: dict[str, Any],
    told: str,
    record: Recorder = unrecorded,
) -> None:
    """`roster` is the one that this site's secure aggregation goes by.

    Args:
        home: The site's.
        site: Who it is.
        roster: As `fetch_roster` gave it.
        told: Its fingerprint, as the operator heard it by another way than the server.
        record: Where events are kept.

    Raises:
        ConfigurationError: another fingerprint.
        ProtocolError: this site is not in it, or under another key.
        StateError: it is no roster.
    """
    known = fingerprint(roster)
    if told.replace(" ", "").lower() != known:
        raise ConfigurationError(
            "expected the fingerprint that the other sites have, got a roster of the server's that "
            f"has another one: {known}"
        )
    clients = roster.get("clients")
    if not isinstance(clients, dict) or clients.get(site.name) != identity_hex(home):
        # Guarantee: a server that swapped one key may have swapped others.
        raise ProtocolError(f"expected {site.name!r} with this site's own key in the roster")
    written = home.roster.with_suffix(".new")
    write_json(written, roster)
    read_roster(written)
    record("roster", roster=known, sites=len(clients))
    written.replace(home.roster)


def _authority(home: SiteHome) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(home.authority.read_bytes())
    except (OSError, ValueError) as error:
        raise StateError(f"expected the authority's certificate in {home.authority}") from error
