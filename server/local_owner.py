"""Who connects over loopback: on a machine that others use too, only this server's own account.

Flower's whole interface asks for no credential: whoever reaches it may submit code that the
server runs. Linux tells for each connection on this machine which account opened it.
"""

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED, _ROOT = "01", 0


def opened_by_owner(accepted: socket.socket) -> bool:
    """Whether the other end of a connection on this machine is this account's, or root's.

    On a system that does not tell (none but Linux does), every account of the machine is let in.
    """
    if not any(table.exists() for table in _TABLES):
        return True
    try:
        local, remote = accepted.getpeername()[:2], accepted.getsockname()[:2]
    except OSError:
        return False
    wanted = {_entry(local, remote, mapped=mapped) for mapped in (False, True)}
    # Guarantee: an end that was closed already has no owner any more and counts as root's in the
    # table; so only one that is open is looked for.
    owners = [owner for entry, state, owner in _rows() if entry in wanted and state == _ESTABLISHED]
    return owners != [] and set(owners) <= {_ROOT, os.geteuid()}


def _rows() -> Iterator[tuple[str, str, int]]:
    for table in _TABLES:
        try:
            lines = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            yield f"{fields[1]} {fields[2]}", fields[3], int(fields[7])


def _entry(local: tuple[str, int], remote: tuple[str, int], *, mapped: bool) -> str:
    return f"{_written(*local, mapped=mapped)} {_written(*remote, mapped=mapped)}"


def _written(address: str, port: int, *, mapped: bool) -> str:
    """An address as the kernel writes it: words of 32 bits in the machine's own order."""
    if ":" in address:
        packed = socket.inet_pton(socket.AF_INET6, address)
    else:
        prefix = bytes(10) + b"\xff\xff" if mapped else b""
        packed = prefix + socket.inet_pton(socket.AF_INET, address)
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"
