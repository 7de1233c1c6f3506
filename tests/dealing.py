"""In which order several processes test: what takes long begins at once, and no file is torn apart.

pytest-xdist's worksteal gives each process an equal part of the list, from its beginning to its
end, and whoever is done takes from the ends of others. So each part begins with whole files that
take long: what they start once for all of their tests is started once. Federations begin in every
second part: in all of them they would keep one another waiting.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Protocol, TypeVar


class Collected(Protocol):
    """What of pytest's items is looked at."""

    @property
    def path(self) -> Any:
        """Its file."""

    def get_closest_marker(self, name: str) -> Any:
        """None if it is not marked so."""


Each = TypeVar("Each", bound=Collected)


def dealt(tests: Sequence[Each], processes: int) -> list[Each]:
    """All of `tests`, so that each of so many equal parts begins with its share of the long ones.

    Args:
        tests: As collected; those of a file stand together.
        processes: At least 1.
    """
    files = [list(group) for _, group in groupby(tests, key=lambda test: test.path)]
    hands: list[list[Each]] = [[] for _ in range(processes)]
    for marker, open_to in (("integration", hands[::2]), ("slow", hands[1::2] or hands)):
        found = [file for file in files if _marked(file, marker)]
        files = [file for file in files if not _marked(file, marker)]
        for file in sorted(found, key=lambda file: -_marked(file, marker)):
            min(open_to, key=lambda hand: _marked(hand, marker)).extend(file)
    rest = [test for file in files for test in file]
    for number, hand in enumerate(hands):
        # As worksteal counts: each part is a whole share of what the parts before it left.
        size = (len(tests) - sum(map(len, hands[:number]))) // (processes - number)
        wanted = max(0, size - len(hand))
        hand.extend(rest[:wanted])
        del rest[:wanted]
    return [test for hand in hands for test in hand] + rest


def _marked(tests: Sequence[Collected], marker: str) -> int:
    return sum(test.get_closest_marker(marker) is not None for test in tests)
