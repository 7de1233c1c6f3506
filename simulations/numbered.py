"""The clients of a simulation by their numbers: nothing is kept for any of a million of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

from client.site import demonstration_name

_PREFIX = demonstration_name(0)[:-6]
MOST = 10**6  # names of six digits ascend as their numbers do


class Names(Sequence[str]):
    """Names of clients 0..count-1; ascending as strings too, up to a million.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        self._numbers = range(count)

    def __len__(self) -> int:
        """How many."""
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        """The name, or names, at a place."""
        found = self._numbers[place]
        if isinstance(found, range):
            return [demonstration_name(number) for number in found]
        return demonstration_name(found)


class Nodes(Mapping[str, int]):
    """Node of each name.

    Args:
        count: How many clients there are.
        first: Node of client 0; the others follow.
    """

    def __init__(self, count: int, first: int) -> None:
        self._names = Names(count)
        self._first = first

    def __len__(self) -> int:
        """How many."""
        return len(self._names)

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._names)

    def __getitem__(self, name: str) -> int:
        """The node of `name`; KeyError where there is none."""
        digits = name.removeprefix(_PREFIX)
        number = int(digits) if digits.isdecimal() else -1
        if not 0 <= number < len(self._names) or demonstration_name(number) != name:
            raise KeyError(name)
        return self._first + number


@dataclass(frozen=True, slots=True)
class NumberedRoster:
    """See `server.roster.Roster`: all clients of a simulation, at most `MOST`.

    Attributes:
        count: How many.
        first_node: Node of client 0.
    """

    count: int
    first_node: int

    @property
    def node_ids(self) -> Nodes:
        """As `Roster`."""
        return Nodes(self.count, self.first_node)

    @property
    def announcements(self) -> Mapping[str, bytes]:
        """None: nobody announced a key."""
        return {}

    @property
    def guarded(self) -> frozenset[str]:
        """None of them."""
        return frozenset()

    @property
    def places(self) -> Names:
        """As `Roster`."""
        return Names(self.count)

    @property
    def client_ids(self) -> Names:
        """Likewise: ascending up to a million, as names have six digits."""
        return Names(self.count)
