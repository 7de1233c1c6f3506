"""Starts a site's worker where it has no network, no sight of the site's home, and no more rights.

Run by path, with nothing but Python's own library, before any code of a bundle: it makes namespaces
of its own (network; mounts, in which folders are hidden and the data cannot be written), gives up
every capability, and becomes the worker. What the system does not allow is left out, told on a
descriptor, and fatal where it is required. Linux only; elsewhere nothing is available.
"""

import ctypes
import json
import os
import signal
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from fcntl import ioctl
from pathlib import Path

_NEW_MOUNTS, _NEW_USERS, _NEW_NETWORK = 0x00020000, 0x10000000, 0x40000000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18
_KEPT_FLAGS = {os.ST_NOSUID: 2, os.ST_NODEV: 4, os.ST_NOEXEC: 8, 1024: 1024, 2048: 2048}
_DIE_WITH_PARENT, _DROP_CAPABILITY, _NO_NEW_PRIVILEGES = 1, 24, 38
_HIGHEST_CAPABILITY = 63
_FLAGS, _SET_FLAGS, _UP, _REQUEST = 0x8913, 0x8914, 1, "16sh14x"  # netdevice(7)


@dataclass(frozen=True)
class Orders:
    """What the guard asks for.

    Attributes:
        parent: The guard's process id.
        hidden: Folders that the worker finds empty.
        read_only: Folders that it cannot write.
        wanted: Whether to try at all.
        required: Whether to stop where it cannot be done.
        told: Descriptor on which to say what was done.
        command: What to become.
    """

    parent: int
    hidden: tuple[str, ...]
    read_only: tuple[str, ...]
    wanted: bool
    required: bool
    told: int
    command: tuple[str, ...]


def main(orders: Orders) -> None:
    """Shut in, then become the command; it dies with the guard.

    Raises:
        OSError: it is required and cannot be done, or there is no such command.
    """
    _prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != orders.parent:
        raise OSError("the guard is gone")
    done, why = "", "not wanted"
    if orders.wanted:
        try:
            _shut_in(orders)
            done, why = "network, files, rights", ""
        except OSError as error:
            if orders.required:
                raise
            why = str(error)
    os.write(orders.told, json.dumps({"sandbox": done, "why": why}).encode())
    os.close(orders.told)
    os.execv(orders.command[0], orders.command)  # noqa: S606 - the guard's own command


def orders_text(orders: Orders) -> str:
    """As `main` is given them on the command line."""
    return json.dumps(asdict(orders))


def _shut_in(orders: Orders) -> None:
    user, group = os.geteuid(), os.getegid()
    # A process of the administrator needs no users of its own, and may lack the right to make any.
    users = 0 if user == 0 else _NEW_USERS
    _check(_library().unshare(_NEW_MOUNTS | _NEW_NETWORK | users), "unshare")
    if users:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _raise_own_loopback()
    _mount("none", "/", "", _RECURSIVE | _PRIVATE)
    for folder in orders.read_only:
        _mount(folder, folder, "", _BIND | _RECURSIVE)
        _mount("none", folder, "", _REMOUNT | _BIND | _READ_ONLY | _flags_of(folder))
    for folder in orders.hidden:
        _mount("tmpfs", folder, "tmpfs", _READ_ONLY)
    # Guarantee: without a capability nobody takes a mount off again; one that a new namespace
    # inherits is locked there (mount_namespaces(7)).
    for capability in range(_HIGHEST_CAPABILITY + 1):
        if _library().prctl(_DROP_CAPABILITY, capability, 0, 0, 0) != 0:
            break
    _prctl(_NO_NEW_PRIVILEGES, 1)


def _raise_own_loopback() -> None:
    # Secrecy: the new network's, which nobody but the worker and its own processes can reach;
    # by it those that compute on several devices meet.
    # Without it they do not; everything else works.
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        found = ioctl(handle, _FLAGS, struct.pack(_REQUEST, b"lo", 0))
        flags = struct.unpack(_REQUEST, found)[1] | _UP
        ioctl(handle, _SET_FLAGS, struct.pack(_REQUEST, b"lo", flags))


def _flags_of(folder: str) -> int:
    # A mount of other users keeps what it forbids: leaving that out is an error.
    found = os.statvfs(folder).f_flag
    return sum(flag for bit, flag in _KEPT_FLAGS.items() if found & bit)


def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    found = _library().mount(
        source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), None
    )
    _check(found, "mount")


def _prctl(option: int, value: int) -> None:
    _check(_library().prctl(option, value, 0, 0, 0), "prctl")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "__main__":
    main(Orders(**json.loads(sys.argv[1])))
