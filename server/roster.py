"""Who takes part: clients by their stable names, whatever node ids the transport gives them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


class Roster(Protocol):
    """Who of the population has enrolled. It grows between two rounds alone; nobody leaves it."""

    @property
    def node_ids(self) -> Mapping[str, int]:
        """Flower's node of each client, in the order of their places."""

    @property
    def announcements(self) -> Mapping[str, bytes]:
        """What each said of its key of the run; empty without secure aggregation."""

    @property
    def guarded(self) -> Collection[str]:
        """Those that say that their site's guard decides on what leaves them."""

    @property
    def client_ids(self) -> Sequence[str]:
        """Names in ascending order."""

    @property
    def places(self) -> Sequence[str]:
        """Names by place in the population; a place once taken stays its client's."""


@runtime_checkable
class KnowsItsClients(Protocol):
    """A grid that made its clients itself, and need not ask a million of them for their names."""

    def known_roster(self) -> Roster | None:
        """All clients, without keys; None: they must be asked."""


@dataclass(frozen=True, slots=True)
class AskedRoster:
    """See `Roster`; of clients that were asked."""

    node_ids: dict[str, int] = field(default_factory=dict)
    announcements: dict[str, bytes] = field(default_factory=dict)
    guarded: set[str] = field(default_factory=set)

    @property
    def client_ids(self) -> tuple[str, ...]:
        """As `Roster`."""
        return tuple(sorted(self.node_ids))

    @property
    def places(self) -> tuple[str, ...]:
        """As `Roster`."""
        return tuple(self.node_ids)

    def add(self, client: str, node: int, announcement: bytes, *, guarded: bool = False) -> None:
        """Give the next free place to `client`; one that has a place keeps it, on another node."""
        self.node_ids[client] = node
        self.announcements[client] = announcement
        (self.guarded.add if guarded else self.guarded.discard)(client)
