"""A unit for systemd: a guard that starts with its machine, and may write what it must alone."""

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from client.home import SiteHome
    from client.site_settings import WhoseSite

_UNIT = """\
[Unit]
Description=Murmura: guard of the site {name}
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
User={user}
ExecStart={command}
Restart=on-failure
RestartSec=5
TimeoutStopSec=90
UMask=0077
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectKernelTunables=no
ProtectKernelModules=yes
ProtectClock=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
ReadWritePaths={written}
{data}
[Install]
WantedBy=multi-user.target
"""
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+:@=,~")


def guard_unit(home: "SiteHome", site: "WhoseSite", command: Sequence[str]) -> str:
    """The text of a unit that starts the guard of `home`, as the user who asks for it."""
    written = [home.root]
    if site.ledger:
        from client.ledger_journal import witness_of  # noqa: PLC0415 - needed by no help

        # A site that was let in anew keeps its old ledger, which may lie elsewhere.
        ledger = Path(site.ledger).absolute()
        written += [ledger, witness_of(ledger)]
    return _UNIT.format(
        name=site.name,
        user=getpass.getuser(),
        command=" ".join(_word(part).replace("$", "$$") for part in command),
        written=" ".join(_word(str(path)) for path in written),
        data=f"ReadOnlyPaths={_word(site.data)}\n" if site.data else "",
    )


def _word(text: str) -> str:
    """One word of a line, whatever is in it (systemd.syntax(7), systemd.unit(5))."""
    if _PLAIN.issuperset(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return '"' + escaped.replace("%", "%%") + '"'
