"""What `murmura doctor` looks at on a server's machine."""

import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

from murmura.doctor_checks import (
    Check,
    audit_log,
    certificate,
    days_until,
    disk,
    fail,
    ok,
    permissions,
    warn,
)
from server.app_key import read_app_key
from server.authority import Authority, days_left
from server.home import ServerHome
from server.local_client import facts_of, health_of, status_of
from server.sites import ACTIVE, EnrolledSite, Sites
from shared.counting import counted
from shared.errors import FederationError

_FEW_DAYS = 7.0
_MANY_RESTARTS = 3


def server_checks(home: ServerHome) -> Iterator[Check]:
    """One after the other; those that need what failed are left out."""
    yield permissions(home, "murmura server init")
    try:
        settings = home.settings()
        authority = Authority.open(home)
    except (FederationError, OSError) as error:
        yield fail("server.toml", str(error), "mend it by docs/deployment.md, or restore the home")
        return
    yield ok("server.toml", f"{', '.join(settings.names)}, port {settings.port}")
    for name in settings.names:
        yield resolves(name)
    yield certificate(days_left(authority.server_certificate()), "murmura server renew")
    facts = facts_of(home)
    yield service(facts)
    if facts is not None:
        yield from ports(health_of(home, facts))
        yield from running(facts)
    yield from sites(Sites(home).all(), time.time())
    yield audit_log(home.audit, lambda: read_app_key(home).public_key())
    yield disk(home.root)


def resolves(name: str) -> Check:
    """A name of the certificate has an address, at least here."""
    try:
        socket.getaddrinfo(name, None)
    except OSError as error:
        advice = "sites use this name: make a DNS entry for it"
        return warn("name", f"{name}: {error.strerror}", advice)
    return ok("name", name)


def service(facts: Mapping[str, Any] | None) -> Check:
    """Whether it runs, and stays."""
    if facts is None:
        return fail("service", "it does not run", "murmura server start --detach")
    if facts["restarts"] >= _MANY_RESTARTS:
        advice = "murmura server logs says why a process dies"
        return warn("service", f"{facts['restarts']} restarts of its processes", advice)
    return ok("service", f"process {facts['pid']}")


def ports(health: Mapping[str, str]) -> Iterator[Check]:
    """Whether each public address answers over TLS, asked from this machine."""
    for address, state in health.items():
        if state == "ok":
            yield ok("port", f"{address} answers")
        else:
            yield fail("port", f"{address}: {state}", "murmura server logs; is the port taken?")


def running(facts: Mapping[str, Any]) -> Iterator[Check]:
    """What the service tells of itself."""
    try:
        told = status_of(facts)
    except FederationError as error:
        yield fail("internal port", str(error), "murmura server logs")
        return
    yield ok("internal port", f"127.0.0.1:{facts['internal']} answers")
    away = [s["name"] for s in told["sites"] if s["state"] == ACTIVE and not s["online"]]
    if away:
        advice = "their operators run: murmura doctor --client"
        yield warn("sites online", f"not there: {', '.join(away)}", advice)
    else:
        yield ok("sites online", "all that are enrolled")


def sites(known: Mapping[str, EnrolledSite], now: float) -> Iterator[Check]:
    """Certificates of sites that end soon: those renew by themselves, if their guards run."""
    active = {name: site for name, site in sorted(known.items()) if site.state == ACTIVE}
    if not active:
        yield warn("sites", "nobody has joined", "murmura server invite NAME")
    for name, site in active.items():
        days = days_until(site.expires, now)
        if days <= 0.0:
            advice = f"murmura server revoke {name}, and invite it again"
            yield fail("sites", f"the certificate of {name} has ended", advice)
        elif days < _FEW_DAYS:
            advice = "its operator runs: murmura client renew"
            left = counted(round(days), "day")
            yield warn("sites", f"the certificate of {name} ends in {left}", advice)
    if active:
        yield ok("sites", f"{len(active)} enrolled")
