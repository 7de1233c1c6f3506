"""What `murmura server status` shows."""

import time
from collections.abc import Mapping
from typing import Any

from server.authority import Authority, days_left
from server.home import ServerHome
from server.invitations import Invitations
from server.local_client import facts_of, health_of, status_of, told_address
from server.sites import Sites
from shared.counting import counted


def status_content(home: ServerHome) -> dict[str, Any]:
    """Everything, from the home's files and, where it runs, from the service."""
    facts = facts_of(home)
    authority = Authority.open(home)
    told = status_of(facts) if facts else {}
    online = {site["name"] for site in told.get("sites", []) if site["online"]}
    return {
        "home": str(home.root),
        "running": facts is not None,
        "pid": facts["pid"] if facts else None,
        "restarts": facts["restarts"] if facts else None,
        "fingerprint": authority.fingerprint,
        "address": told_address(home, facts),
        "health": health_of(home, facts) if facts else {},
        "certificate_days": round(days_left(authority.server_certificate()), 1),
        "sites": [
            {
                "name": name,
                "state": site.state,
                "online": name in online,
                "expires": int(site.expires),
            }
            for name, site in sorted(Sites(home).all().items())
        ],
        "invited": [
            {"name": entry.name, "expires": int(entry.expires)}
            for entry in Invitations(home).all().values()
            if not entry.used and entry.expires > time.time()
        ],
        "runs": told.get("runs", []),
        "connections": told.get("connections", {}),
        "refused": told.get("refused", {}),
    }


def status_lines(content: Mapping[str, Any]) -> list[str]:
    """For people."""
    service = f"process {content['pid']}" if content["running"] else "does not run"
    lines = [
        f"service      {service}",
        f"fingerprint  {content['fingerprint']}",
        f"sites go to  {content['address']}",
        f"certificate  {counted(round(content['certificate_days']), 'day')} left",
    ]
    lines += [f"listens on   {address}: {state}" for address, state in content["health"].items()]
    lines += [f"site         {_site(site)}" for site in content["sites"]]
    lines += [
        f"invited      {entry['name']}, until {_minute(entry['expires'])} UTC"
        for entry in content["invited"]
    ]
    lines += [f"run          {run['run_id']}: {run['status']}" for run in content["runs"]]
    if content["refused"]:
        counts = ", ".join(f"{code} {count}" for code, count in content["refused"].items())
        lines.append(f"refused      {counts}")
    return lines


def _site(site: Mapping[str, Any]) -> str:
    if site["state"] != "active":
        return f"{site['name']}: {site['state']}"
    presence = "online" if site["online"] else "offline"
    return f"{site['name']}: {presence}, certificate until {_minute(site['expires'])} UTC"


def _minute(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
