"""A wire between two virtual cables that loses and delays packets: each direction on its own."""

import fcntl
import heapq
import os
import select
import socket
import struct
import threading
import time
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np

from tests.integration.faults.namespaces import ip, within

_LARGEST = 1 << 16
_ALL_FRAMES = 0x0003  # ETH_P_ALL
_OUTGOING = 4  # PACKET_OUTGOING
_ETHTOOL = 0x8946
_CHECKSUMS, _SEGMENTS = 0x17, 0x24  # ETHTOOL_STXCSUM, ETHTOOL_SGSO


@dataclass
class Way:
    """One direction of a wire.

    Attributes:
        loss: Probability that a packet is lost; 1: it is cut.
        delay_s: Of each packet.
        passed: Packets that came through.
        lost: And those that did not.
    """

    loss: float = 0.0
    delay_s: float = 0.0
    passed: int = 0
    lost: int = 0


@dataclass
class Wire:
    """Both directions between a site and the server."""

    up: Way = field(default_factory=Way)
    down: Way = field(default_factory=Way)

    def set(self, *, loss: float = 0.0, delay_s: float = 0.0) -> None:
        """The same for both."""
        for way in (self.up, self.down):
            way.loss, way.delay_s = loss, delay_s


class Carrier:
    """Carries packets between pairs of interfaces of one namespace, until it is closed.

    Args:
        namespace: Of the interfaces.
        wires: By the names of the site's and of the server's end.
        seed: Of what is lost.
    """

    def __init__(self, namespace: str, wires: dict[tuple[str, str], Wire], seed: int) -> None:
        self._chance = np.random.default_rng(seed)
        self._ways: dict[int, tuple[socket.socket, Way]] = {}
        self._sockets: dict[int, socket.socket] = {}
        with within(namespace):
            for (site, server), wire in wires.items():
                ends = [_opened(name) for name in (site, server)]
                self._sockets |= {end.fileno(): end for end in ends}
                self._ways[ends[0].fileno()] = (ends[1], wire.up)
                self._ways[ends[1].fileno()] = (ends[0], wire.down)
        self._waiting: list[tuple[float, int, socket.socket, bytes]] = []
        self._stop, self._count = threading.Event(), 0
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Carry no more."""
        self._stop.set()
        self._thread.join()
        for end in self._sockets.values():
            end.close()

    def _carry(self) -> None:
        while not self._stop.is_set():
            due = self._waiting[0][0] - time.monotonic() if self._waiting else 0.1
            ready, _, _ = select.select(list(self._sockets), [], [], min(0.1, max(0.0, due)))
            for descriptor in ready:
                self._take(descriptor)
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                _, _, end, frame = heapq.heappop(self._waiting)
                end.send(frame)

    def _take(self, descriptor: int) -> None:
        frame, (_, _, kind, *_) = self._sockets[descriptor].recvfrom(_LARGEST)
        if kind == _OUTGOING:
            return
        end, way = self._ways[descriptor]
        if self._chance.random() < way.loss:
            way.lost += 1
            return
        way.passed += 1
        self._count += 1
        heapq.heappush(self._waiting, (time.monotonic() + way.delay_s, self._count, end, frame))


def _opened(name: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_FRAMES))
    end.bind((name, 0))
    end.setblocking(False)
    return end


def _whole_packets(name: str) -> None:
    """Checksums and segments are made before a packet leaves, not by a card that is not there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for command in (_CHECKSUMS, _SEGMENTS):
            value = array("I", [command, 0])
            fcntl.ioctl(
                any_socket, _ETHTOOL, struct.pack("16sP", name.encode(), value.buffer_info()[0])
            )


@dataclass
class Network:
    """A server and sites with addresses of their own.

    Attributes:
        places: Namespaces of "server", "site0", ...
        addresses: The server's, as site 0, 1, ... sees it.
        wires: Of site 0, 1, ...
    """

    places: dict[str, str]
    addresses: Sequence[str]
    wires: Sequence[Wire]


@contextmanager
def network(sites: int, seed: int = 1) -> Iterator[Network]:
    """Namespaces that are joined by wires; gone at the end."""
    mark = f"murmura-{os.getpid()}"
    places = {name: f"{mark}-{name}" for name in ("server", *(f"site{i}" for i in range(sites)))}
    middle = f"{mark}-wire"
    wires = {(f"a{i}", f"b{i}"): Wire() for i in range(sites)}
    with ExitStack() as stack:
        for place in (middle, *places.values()):
            ip("netns", "add", place)
            stack.callback(ip, "netns", "del", place)
            ip("-n", place, "link", "set", "lo", "up")
        for index in range(sites):
            _cable(middle, f"a{index}", places[f"site{index}"], f"10.99.{index}.2/24")
            _cable(middle, f"b{index}", places["server"], f"10.99.{index}.1/24")
        carrier = Carrier(middle, wires, seed)
        stack.callback(carrier.close)
        addresses = [f"10.99.{index}.1" for index in range(sites)]
        yield Network(places, addresses, list(wires.values()))


def _cable(middle: str, name: str, place: str, address: str) -> None:
    """A pair of interfaces: `name` in the middle, "eth-NAME" with an address at its place."""
    there = f"eth-{name}"
    ip("-n", middle, "link", "add", name, "type", "veth", "peer", "name", there)
    ip("-n", middle, "link", "set", there, "netns", place)
    ip("-n", middle, "link", "set", name, "up")
    ip("-n", place, "addr", "add", address, "dev", there)
    ip("-n", place, "link", "set", there, "up")
    with within(place):
        _whole_packets(there)
