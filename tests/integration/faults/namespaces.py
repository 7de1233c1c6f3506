"""Machines with addresses of their own: network namespaces of this machine, made and removed here.

server 10.99.n.1 --- virtual cable --- wire --- virtual cable --- 10.99.n.2 site n
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

_NETWORK = 0x40000000  # CLONE_NEWNET


@contextmanager
def within(namespace: str | None) -> Iterator[None]:
    """Sockets that this thread opens belong to `namespace`; None: to where it is."""
    if namespace is None:
        yield
        return
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        _enter(there)
        yield
    finally:
        _enter(here)
        os.close(here)
        os.close(there)


def _enter(descriptor: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, _NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "a network namespace cannot be entered")


def ip(*arguments: str) -> None:
    """`ip` with these arguments."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)  # noqa: S603, S607 - our own
