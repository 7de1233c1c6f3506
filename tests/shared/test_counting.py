"""One is one."""

import pytest

from shared.counting import counted


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries"), (1234, "1,234 entries")]
)
def test_one_is_counted_as_one(count: int, text: str) -> None:
    """A plural that is not given is made by an s."""
    assert counted(count, "entry", "entries") == text
    assert counted(count, "site").endswith("site" if count == 1 else "sites")
