"""The internal port: this account's own connections, and no others'."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from server import local_owner
from server.local_owner import opened_by_owner

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"


@pytest.fixture(params=["127.0.0.1", "::1"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection: the accepted one, and its peer."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    listener = socket.socket(family)
    listener.bind((request.param, 0))
    listener.listen()
    peer = socket.create_connection(listener.getsockname()[:2])
    accepted, _ = listener.accept()
    yield accepted, peer
    for entry in (accepted, peer, listener):
        entry.close()


def table(path: Path, ends: tuple[socket.socket, socket.socket], state: str, owner: int) -> Path:
    """What Linux would say of the peer's end."""
    accepted, _ = ends
    entry = local_owner._entry(accepted.getpeername()[:2], accepted.getsockname()[:2], mapped=False)
    path.write_text(
        f"{HEAD}   0: {entry} {state} 00000000:00000000 00:00000000 00000000  {owner}\n"
    )
    return path


def test_this_accounts_connection_is_let_in(ends: tuple[socket.socket, socket.socket]) -> None:
    """As the system really tells it."""
    assert opened_by_owner(ends[0])


@pytest.mark.parametrize(
    ("state", "owner", "let_in"),
    [
        ("01", os.geteuid(), True),
        ("01", 0, True),
        ("01", os.geteuid() + 4321, False),
        ("04", os.geteuid(), False),
        ("04", 0, False),
    ],
)
def test_another_accounts_connection_is_not(
    ends: tuple[socket.socket, socket.socket],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    owner: int,
    let_in: bool,
) -> None:
    """Nor one that was closed already: it counts as root's in the system's table."""
    monkeypatch.setattr(
        local_owner, "_TABLES", (table(tmp_path / "tcp", ends, state, owner), tmp_path / "none")
    )
    assert opened_by_owner(ends[0]) is let_in


def test_a_connection_that_is_in_no_table_is_not_let_in(
    ends: tuple[socket.socket, socket.socket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is not known is not the owner."""
    (tmp_path / "tcp").write_text(HEAD)
    monkeypatch.setattr(local_owner, "_TABLES", (tmp_path / "tcp",))
    assert not opened_by_owner(ends[0])


def test_a_connection_that_is_gone_is_not_let_in() -> None:
    """It has no other end to ask for."""
    lonely = socket.socket()
    assert not opened_by_owner(lonely)
    lonely.close()


def test_a_system_that_does_not_tell_lets_everybody_in(
    ends: tuple[socket.socket, socket.socket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/deployment.md says so."""
    monkeypatch.setattr(local_owner, "_TABLES", (tmp_path / "none",))
    assert opened_by_owner(ends[0])


def test_addresses_are_written_as_the_kernel_writes_them() -> None:
    """Also where an IPv6 socket spoke to an IPv4 one. Known lines of a little-endian machine."""
    if int.from_bytes(b"\x01\x00", "little") != 1 or os.sys.byteorder != "little":  # type: ignore[attr-defined]
        return
    assert local_owner._written("127.0.0.1", 52118, mapped=False) == "0100007F:CB96"
    assert (
        local_owner._written("::1", 49558, mapped=False) == "00000000000000000000000001000000:C196"
    )
    assert (
        local_owner._written("127.0.0.1", 1, mapped=True) == "0000000000000000FFFF00000100007F:0001"
    )
