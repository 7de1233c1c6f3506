"""The order of tests over several processes: nothing is lost, files stay whole, long ones begin."""

from dataclasses import dataclass
from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from tests.dealing import dealt


@dataclass(frozen=True)
class Item:
    """A test of a file, marked or not."""

    path: str
    name: int
    markers: tuple[str, ...] = ()

    def get_closest_marker(self, name: str) -> str | None:
        """As pytest's."""
        return name if name in self.markers else None


def file(name: str, count: int, *markers: str) -> list[Item]:
    """So many tests, all marked."""
    return [Item(name, number, markers) for number in range(count)]


MARKED = st.sampled_from([(), ("slow",), ("integration",), ("slow", "integration")])
FILES = st.lists(st.tuples(st.integers(1, 9), MARKED), max_size=12).map(
    lambda found: [
        test
        for number, (count, markers) in enumerate(found)
        for test in file(f"{number}", count, *markers)
    ]
)


@given(FILES, st.integers(1, 6))
def test_every_test_is_dealt_once_and_long_files_stay_whole(
    tests: list[Item], processes: int
) -> None:
    """In the order of the file; the same in each process, which pytest-xdist insists on."""
    found = dealt(tests, processes)
    assert sorted(found, key=str) == sorted(tests, key=str)
    assert found == dealt(tests, processes)
    whole = [test for test in found if test.markers]
    for _, group in groupby(whole, key=lambda test: test.path):
        names = [test.name for test in group]
        assert names == list(range(len(names)))
    paths = [path for path, _ in groupby(whole, key=lambda test: test.path)]
    assert len(paths) == len(set(paths))


def test_each_part_begins_with_what_takes_long() -> None:
    """Federations in every second one, what computes for long in the others."""
    quick = [*file("a", 20), *file("b", 20), *file("c", 20), *file("d", 21)]
    federations = [*file("e", 3, "integration"), *file("f", 2, "integration", "slow")]
    slow = [*file("g", 4, "slow"), *file("h", 6, "slow")]
    tests = [*quick[:40], *federations, *quick[40:], *slow]
    found = dealt(tests, 4)
    size = len(tests) // 4
    assert [found[size * part].path for part in range(4)] == ["e", "h", "f", "g"]


def test_one_process_or_two_have_their_long_tests_first_too() -> None:
    """With one there is nobody else to take what computes for long."""
    tests = [*file("a", 5), *file("b", 2, "integration"), *file("c", 2, "slow")]
    assert [test.path for test in dealt(tests, 1)] == ["b", "b", "c", "c", *"aaaaa"]
    assert [test.path for test in dealt(tests, 2)] == ["b", "b", "a", "a", "c", "c", *"aaa"]
