"""Who takes part: clients by their stable names, whatever node ids the transport gives them."""

import logging
import time
from dataclasses import dataclass, field

from flwr.app import Message
from flwr.serverapp import Grid

from server.exchange import POLL_INTERVAL_S, cut, exchange, reason_of
from server.sizes import AROUND
from shared.config import RunConfig
from shared.errors import ConfigurationError, ProtocolError
from shared.messages import Enrolled, enrol_request

_LOGGER = logging.getLogger("murmura.server")
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Roster:
    """The population, in the order of its names, which is the same over every transport.

    Attributes:
        node_ids: Flower's node of each client.
        announcements: What each said of its key of the run; empty without secure aggregation.
    """

    node_ids: dict[str, int]
    announcements: dict[str, bytes] = field(default_factory=dict)

    @property
    def client_ids(self) -> tuple[str, ...]:
        """Names in ascending order."""
        return tuple(self.node_ids)


def enrol(grid: Grid, config: RunConfig) -> Roster:
    """Ask every node for its name, once `population.size` nodes are there.

    The size of the population is a public constant on which sampling and the divisor rest, so
    neither fewer nor more clients are accepted. A malformed answer leaves its node out.

    Raises:
        ConfigurationError: another number of clients enrolled; says what the first refusal was.
        ProtocolError: two nodes have one name.
    """
    nodes = _wait_for_nodes(grid, config.population.size, config.cohort.timeout_s)
    if len(nodes) < config.population.size:
        raise ConfigurationError(
            f"impossible cohort: expected population.size = {config.population.size} clients, got "
            f"{len(nodes)} nodes online within cohort.timeout_s = {config.cohort.timeout_s:g}"
        )
    requests = [
        Message(enrol_request(), dst_node_id=node, message_type="query.enrol", group_id="0")
        for node in nodes
    ]
    names: dict[str, int] = {}
    announcements: dict[str, bytes] = {}
    refusals: list[str] = []
    for position, reply in exchange(grid, requests, config.cohort.timeout_s, most_bytes=AROUND):
        try:
            enrolled = _enrolled(reply)
        except ProtocolError as error:
            refusals.append(cut(error))
            _LOGGER.warning("node %d did not enrol: %s", nodes[position], cut(error))
            continue
        name = enrolled.client_id
        if name in names:
            raise ProtocolError(f"expected one node for each client, got two for {name!r}")
        names[name] = nodes[position]
        announcements[name] = enrolled.announcement
    _check_count(len(names), config.population.size, refusals)
    return Roster(dict(sorted(names.items())), announcements)


def _wait_for_nodes(grid: Grid, wanted: int, timeout_s: float) -> list[int]:
    deadline = time.monotonic() + timeout_s
    nodes = sorted(grid.get_node_ids())
    while len(nodes) < wanted and time.monotonic() < deadline:
        time.sleep(POLL_INTERVAL_S)
        nodes = sorted(grid.get_node_ids())
    return nodes


def _enrolled(reply: Message) -> Enrolled:
    if reply.has_error():
        raise ProtocolError(reason_of(reply))
    enrolled = Enrolled.from_record(reply.content)
    name = enrolled.client_id
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise ProtocolError(
            f"expected a printable name of at most {_LONGEST_NAME} characters, got {len(name)}"
        )
    return enrolled


def _check_count(enrolled: int, wanted: int, refusals: list[str]) -> None:
    if enrolled != wanted:
        why = f"; the first of {len(refusals)} refusals: {refusals[0]}" if refusals else ""
        raise ConfigurationError(
            f"impossible cohort: expected population.size = {wanted} clients to enrol, got "
            f"{enrolled}{why}"
        )
