"""Asks nodes for their names: before the first round, and between rounds those that came since.

The size of the population is a public constant on which sampling and the divisor rest. Fewer
clients may be there, since an absent one is as one that is lost; never more.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator

from flwr.app import Message
from flwr.serverapp import Grid

from server.exchange import POLL_INTERVAL_S, arrived, cut, push, reason_of
from server.reasons import Reasons
from server.roster import AskedRoster, KnowsItsClients, Roster
from server.sizes import AROUND
from shared.config import RunConfig
from shared.counting import counted
from shared.errors import AggregationRefused, ConfigurationError, ProtocolError
from shared.messages import GUARD, Enrolled, enrol_request

_LOGGER = logging.getLogger("murmura.server")
_LONGEST_NAME = 100
# Takes up the announcement of a client that joins, or raises and changes nothing.
Admit = Callable[[str, bytes], None]


class Enrolment:
    """One run's roster, and who is let into it. Each node is asked once.

    Args:
        grid: How nodes are reached.
        config: How many clients there are, how many a run begins with, and how long it waits.
        needed: Names without which it does not begin.
        keys: Whether each must announce a key, for secure aggregation.
    """

    def __init__(
        self, grid: Grid, config: RunConfig, needed: Collection[str] = (), *, keys: bool = False
    ) -> None:
        self._grid = grid
        self._keys = keys
        self._known = False
        self._size = config.population.size
        self._wanted = config.clients_at_start
        self._needed = frozenset(needed)
        self._timeout_s = config.cohort.timeout_s
        self._asked: set[int] = set()
        self._waiting: dict[str, int] = {}
        self._refusals = Reasons()
        self._heirs: dict[str, tuple[int, bool]] = {}
        self.roster = AskedRoster()

    def begin(self) -> Roster:
        """Those the run begins with, at places in the order of their names.

        The whole population, of which each node is waited for; or, where fewer are enough, all
        that have answered when enough have. A malformed answer leaves its node out.

        Raises:
            ConfigurationError: another number of clients enrolled, or not all that are needed;
                says which nodes refused, and why.
            ProtocolError: two nodes have one name.
        """
        if (known := self._all_known()) is not None:
            return known
        # One deadline for being online and for enrolling: a run waits as long as it was told.
        deadline = time.monotonic() + self._timeout_s
        self._wait_for_nodes(deadline)
        found: dict[str, tuple[int, Enrolled]] = {}
        while True:
            online = self._online()
            self._ask(online)
            for node, enrolled in self._answers():
                name = enrolled.client_id
                if name in found and found[name][0] in online:
                    raise ProtocolError(f"expected one node for each client, got two for {name!r}")
                found[name] = (node, enrolled)
            left = deadline - time.monotonic()
            if self._complete(found) or left <= 0.0:
                break
            time.sleep(min(POLL_INTERVAL_S, left))
        self._check(found)
        for name in sorted(found):
            self._add(*found[name])
        return self.roster

    def _all_known(self) -> Roster | None:
        """Where a simulation knows its whole population, and has no key to be told."""
        if self._keys or not isinstance(self._grid, KnowsItsClients):
            return None
        found = self._grid.known_roster()
        if found is None or len(found.places) != self._size:
            return None
        self._known = True
        return found

    def join(self, admit: Admit | None) -> None:
        """Let nodes that came since take part. Nothing is waited for: a late answer counts later.

        Args:
            admit: Under secure aggregation: takes up a client's key, or raises; without it None.
        """
        if self._known:
            return
        online = self._online()
        self._ask(online)
        for node, enrolled in self._answers():
            try:
                self._take_up(node, enrolled, admit, online)
            except (ProtocolError, AggregationRefused) as error:
                self._refuse(node, error)
        self._hand_over(online)

    def _take_up(
        self, node: int, enrolled: Enrolled, admit: Admit | None, online: set[int]
    ) -> None:
        name = enrolled.client_id
        if name in self.roster.node_ids:
            if admit is not None:
                # Guarantee: the others refuse a key that is not the one they know.
                raise ProtocolError(
                    f"expected a client without a key in this run, got {name!r} with another one: "
                    "whoever restarts, or has another's name, stays out of it"
                )
            self._heirs[name] = node, enrolled.enforced_by == GUARD
            if (old := self.roster.node_ids[name]) in online:
                _LOGGER.warning(
                    "node %d is named %s, as node %d: it waits until that is gone", node, name, old
                )
        elif len(self.roster.node_ids) == self._size:
            raise ProtocolError(f"all {self._size} of population.size are enrolled without it")
        else:
            if admit is not None:
                admit(name, enrolled.announcement)
            self._add(node, enrolled)
            _LOGGER.info("%s joined, as client %d of %d", name, len(self.roster.places), self._size)

    def _add(self, node: int, enrolled: Enrolled) -> None:
        guarded = enrolled.enforced_by == GUARD
        self.roster.add(enrolled.client_id, node, enrolled.announcement, guarded=guarded)

    def _hand_over(self, online: set[int]) -> None:
        """Clients whose node is gone go on at the node that has their name now."""
        for name, (node, guarded) in list(self._heirs.items()):
            if node in online and self.roster.node_ids[name] not in online:
                announcement = self.roster.announcements[name]
                self.roster.add(name, node, announcement, guarded=guarded)
                del self._heirs[name]
                _LOGGER.info("%s goes on at node %d", name, node)

    def _online(self) -> set[int]:
        return set(self._grid.get_node_ids())

    def _wait_for_nodes(self, deadline: float) -> None:
        while (count := len(self._online())) < self._wanted:
            if time.monotonic() >= deadline:
                raise ConfigurationError(
                    f"impossible cohort: expected {self._expected}, got {count} nodes online "
                    f"within cohort.timeout_s = {self._timeout_s:g}"
                )
            time.sleep(POLL_INTERVAL_S)

    def _ask(self, online: Iterable[int]) -> None:
        nodes = sorted(set(online) - self._asked)
        requests = [
            Message(enrol_request(), dst_node_id=node, message_type="query.enrol", group_id="0")
            for node in nodes
        ]
        sent = {name: nodes[position] for name, position in push(self._grid, requests).items()}
        # What the grid did not accept may be asked again.
        self._asked |= set(sent.values())
        self._waiting |= sent

    def _answers(self) -> Iterator[tuple[int, Enrolled]]:
        """Every well-formed answer that has come, and its node."""
        for node, reply in arrived(self._grid, self._waiting, AROUND):
            try:
                yield node, _enrolled(reply)
            except ProtocolError as error:
                self._refuse(node, error)

    def _refuse(self, node: int, error: ProtocolError | AggregationRefused) -> None:
        self._refusals.add(f"node {node}", cut(error))
        _LOGGER.warning("node %d did not enrol: %s", node, cut(error))

    def _complete(self, found: Collection[str]) -> bool:
        if self._wanted == self._size:
            return not self._waiting
        return len(found) >= self._wanted and self._needed <= set(found)

    def _check(self, found: Collection[str]) -> None:
        for node in sorted(self._waiting.values()):
            self._refusals.add(f"node {node}", "no answer in time")
        why = (
            f"; without {self._refusals}; a site's own log says more: murmura client logs"
            if self._refusals
            else ""
        )
        # Who would be left out is a matter of time alone, so nobody is while it costs nothing.
        if not self._wanted <= len(found) <= self._size:
            raise ConfigurationError(
                f"impossible cohort: expected {self._expected} to enrol, got {len(found)}{why}"
            )
        if missing := sorted(self._needed - set(found)):
            raise ConfigurationError(
                f"impossible cohort: expected all helpers to enrol, got none of {missing}{why}"
            )

    @property
    def _expected(self) -> str:
        least = f"at least {self._wanted} of " if self._wanted < self._size else ""
        return f"{least}population.size = {counted(self._size, 'client')}"


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
