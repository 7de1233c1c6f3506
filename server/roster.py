"""Who takes part: clients by their stable names, whatever node ids the transport gives them."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Roster:
    """Who of the population has enrolled. It grows between two rounds alone, and nobody leaves it.

    Attributes:
        node_ids: Flower's node of each client, in the order of their places.
        announcements: What each said of its key of the run; empty without secure aggregation.
        guarded: Those that say that their site's guard decides on what leaves them.
    """

    node_ids: dict[str, int] = field(default_factory=dict)
    announcements: dict[str, bytes] = field(default_factory=dict)
    guarded: set[str] = field(default_factory=set)

    @property
    def client_ids(self) -> tuple[str, ...]:
        """Names in ascending order."""
        return tuple(sorted(self.node_ids))

    @property
    def places(self) -> tuple[str, ...]:
        """Names by place in the population; a place once taken stays its client's."""
        return tuple(self.node_ids)

    def add(self, client: str, node: int, announcement: bytes, *, guarded: bool = False) -> None:
        """Give the next free place to `client`; one that has a place keeps it, on another node."""
        self.node_ids[client] = node
        self.announcements[client] = announcement
        (self.guarded.add if guarded else self.guarded.discard)(client)
