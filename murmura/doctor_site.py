"""What `murmura doctor` looks at on a site's machine."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from client import sandbox
from client.approval import Approvals
from client.asking import asked
from client.certificates import read_certificate
from client.home import SiteHome
from client.identity import read_identity, read_roster
from client.ledger import Ledger
from client.ledger_state import Grant
from client.policy import SitePolicy
from client.sandbox import Orders, orders_text
from client.site_settings import SiteSettings, WhoseSite
from client.tls import offered_authority, site_context, split_address
from murmura.doctor_checks import (
    Check,
    audit_log,
    certificate,
    clock,
    days_until,
    disk,
    fail,
    installed,
    judged,
    ok,
    permissions,
    same_versions,
    warn,
)
from shared.counting import counted
from shared.durable import read_json
from shared.errors import FederationError, StateError

_TIMEOUT_S = 5.0
_LONGEST = 40


def site_checks(home: SiteHome) -> Iterator[Check]:
    """One after the other; those that need what failed are left out."""
    yield permissions(home, "murmura client join")
    try:
        settings = SiteSettings.parse(home.settings.read_text(encoding="utf-8"))
    except (FederationError, OSError, UnicodeDecodeError) as error:
        yield fail("site.toml", str(error), "mend it by docs/sites.md, or join anew")
        return
    yield ok("site.toml", f"{settings.site.name} of {settings.site.server}")
    yield from network(home, settings.site)
    yield own_certificate(home, time.time())
    yield data(settings.site.data)
    yield from budget(home, settings)
    yield roster(home, settings.policy)
    yield bundles(Approvals(home, settings.site.app_key))
    yield shut_in(settings.worker.sandbox, try_sandbox())
    yield service(home)
    yield audit_log(home.audit, lambda: read_identity(home.identity).public_key())
    yield disk(home.root)


def network(home: SiteHome, site: WhoseSite) -> Iterator[Check]:
    """From the name to what the server tells of itself; ends at the first that fails."""
    host, port = split_address(site.server)
    for check in (resolves(host), reachable(host, port), known_server(site)):
        yield check
        if check.level != "ok":
            return
    before = time.time()
    try:
        told = asked(site.server, site_context(home), "/health")
    except FederationError as error:
        yield fail("server", str(error), "ask its operator: murmura server status")
        return
    yield health(told)
    if isinstance(told.get("time"), float):
        yield clock((before + time.time()) / 2 - told["time"])
    # Another party wrote it: a few signs that a terminal shows.
    yield same_versions(installed(), {key: cut(value) for key, value in told.items()})
    yield admitted(home, site)


def cut(value: object) -> str:
    """The beginning of a value, without what a terminal would obey."""
    return "".join(sign for sign in str(value)[:_LONGEST] if sign.isprintable())


def resolves(host: str) -> Check:
    """The server's name has an address."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except OSError as error:
        return fail("name", f"{host}: {error.strerror}", "look at DNS, or /etc/hosts")
    return ok("name", f"{host} is {', '.join(sorted(map(str, found)))}")


def reachable(host: str, port: int) -> Check:
    """Something listens at the server's port."""
    try:
        socket.create_connection((host, port), _TIMEOUT_S).close()
    except OSError as error:
        why = error.strerror or str(error)
        advice = "let outgoing TCP to it through the firewall; does the server run?"
        return fail("port", f"{host} port {port}: {why}", advice)
    return ok("port", f"{host} port {port} answers")


def known_server(site: WhoseSite) -> Check:
    """TLS 1.3, by the authority that this site joined."""

    def look() -> str:
        offered_authority(site.server, site.authority, _TIMEOUT_S)
        return f"TLS 1.3, authority {site.authority[:16]}..."

    return judged(
        "fingerprint", look, "a proxy that opens TLS, or another server: ask its operator"
    )


def health(told: Mapping[str, Any]) -> Check:
    """What the server says of itself."""
    if told.get("status") != "ok":
        return fail("server", "it does not say that it is well", "ask its operator")
    return ok("server", "well")


def admitted(home: SiteHome, site: WhoseSite) -> Check:
    """Whether this site's certificate counts there."""

    def look() -> str:
        asked(site.server, site_context(home), "/roster")
        return "this site is let in"

    return judged("admission", look, "a site that was revoked joins anew, with its old ledger")


def own_certificate(home: SiteHome, now: float) -> Check:
    """Days left."""
    try:
        expires = read_certificate(home.certificate).expires
    except FederationError as error:
        return fail("certificate", str(error), "murmura client join makes one")
    return certificate(days_until(expires, now), "murmura client renew")


def data(folder: str) -> Check:
    """The data are there and can be read."""
    if not folder:
        return warn("data", "a demonstration's public data", "join with --data for your own")
    if not os.access(folder, os.R_OK | os.X_OK):
        return fail("data", f"{folder} cannot be read", "mount it, or let this user read it")
    return ok("data", folder)


def budget(home: SiteHome, settings: SiteSettings) -> Iterator[Check]:
    """The ledger can be used, is not spent, and the policy does not contradict it."""
    folder = Path(settings.site.ledger) if settings.site.ledger else home.ledger
    try:
        ledger = Ledger(folder)
        blocks = {name: (block.grant, ledger.spent(name)) for name, block in ledger.blocks.items()}
    except FederationError as error:
        advice = "bring back the newest journal and witness (docs/sites.md); nothing leaves before"
        yield fail("ledger", str(error), advice)
        return
    for name, (grant, spent) in sorted(blocks.items()):
        yield left_of(name, grant, spent)
        yield agrees(settings.policy, grant)


def left_of(block: str, grant: Grant, spent: float) -> Check:
    """What is left of one block's budget."""
    text = (
        f"{block}: epsilon {spent:.4g} of {grant.epsilon:.4g} spent, at delta {grant.delta:g} for "
        f"one {grant.unit}"
    )
    if spent >= grant.epsilon:
        return fail("ledger", text, "every run is refused; grant more: murmura ledger set-budget")
    if spent > 0.9 * grant.epsilon:
        return warn("ledger", text, "few rounds are left: murmura ledger forecast")
    return ok("ledger", text)


def agrees(policy: SitePolicy, grant: Grant) -> Check:
    """No rule that no run can keep, and none that lets more through than was granted."""
    if grant.unit not in policy.units:
        return fail(
            "policy",
            f"allows runs that hide {list(policy.units)}; the budget is for {grant.unit}",
            "no run can keep both: change [policy] units, or the ledger's unit",
        )
    if policy.most_epsilon > grant.epsilon or policy.most_delta > grant.delta:
        return warn(
            "policy",
            "lets one run plan more than was granted in all",
            "lower most_epsilon and most_delta, or grant more",
        )
    if policy.seeded_runs:
        return warn(
            "policy", "allows seeded runs: noise the server can predict", "seeded_runs = false"
        )
    return ok("policy", "agrees with the budget")


def roster(home: SiteHome, policy: SitePolicy) -> Check:
    """Accepted, with this site in it, and large enough for the policy."""
    if not home.roster.exists():
        advice = "murmura client roster --accept, where runs use secure aggregation"
        return warn("roster", "none accepted", advice)
    try:
        count = len(read_roster(home.roster))
    except FederationError as error:
        return fail("roster", str(error), "murmura client roster --accept")
    least = max(policy.smallest_population, policy.smallest_cohort)
    if count < least:
        return fail(
            "roster",
            f"{counted(count, 'site')}, the policy asks for {least}",
            "no run under masks can keep it: wait for more sites, or change [policy]",
        )
    return ok("roster", counted(count, "site"))


def bundles(approvals: Approvals) -> Check:
    """Whether one waits for a decision."""
    try:
        waiting = set(approvals.seen()) - set(approvals.all())
    except StateError as error:
        return fail("bundles", str(error), "mend approved.json, or remove it")
    if waiting:
        names = ", ".join(sorted(digest[:12] for digest in waiting))
        return warn("bundles", f"refused, and wait: {names}", "murmura client approve")
    return ok("bundles", "none waits")


def try_sandbox() -> str:
    """Why a worker could not be shut in; "" if it could."""
    reading, writing = os.pipe()
    orders = Orders(os.getpid(), (), (), wanted=True, required=True, told=writing,
                    command=(sys.executable, "-c", ""))  # fmt: skip
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-I", str(Path(sandbox.__file__)), orders_text(orders)],
            pass_fds=[writing], capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        os.close(writing)
        told = json.loads(os.read(reading, 4096) or b"{}")
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return str(error)
    finally:
        os.close(reading)
    lines = done.stderr.strip().splitlines()
    return "" if told.get("sandbox") else (lines[-1] if lines else "no word")


def shut_in(wanted: str, why_not: str) -> Check:
    """Whether code of the server's can be shut in on this machine."""
    if wanted == "off":
        return warn("sandbox", "off in site.toml", 'sandbox = "required", where the system can')
    if not why_not:
        return ok("sandbox", "network, files and rights of the worker are taken away")
    advice = "allow user namespaces (docs/sites.md), or put another wall there"
    return (fail if wanted == "required" else warn)("sandbox", f"not available: {why_not}", advice)


def service(home: SiteHome) -> Check:
    """Whether the guard runs, and how it says it is."""
    process = home.running()
    if process is None:
        return fail("service", "the guard does not run", "murmura client start")
    try:
        state = str(read_json(home.status).get("state"))
    except StateError as error:
        state = str(error)
    if state != "connected":
        return fail("service", f"process {process}: {state}", "murmura client logs")
    return ok("service", f"process {process}, connected")
