"""A witness is there only within its context, and no app that is deployed installs one."""

from pathlib import Path

import pytest

from shared.dp.witness import Contribution, Place, Witness, installed, watched_by

ROOT = Path(__file__).parents[3]


class Silent(Witness):
    """Adds nothing."""

    def contribution(self, place: Place, dimension: int) -> Contribution | None:
        """Nothing."""
        del place, dimension
        return None

    def saw(self, *seen: object) -> None:
        """Nothing."""


def test_a_witness_leaves_with_its_context_whatever_ends_it() -> None:
    """The next run of the process has none."""
    assert installed() is None
    with watched_by(Silent()):
        assert isinstance(installed(), Silent)

    def broken() -> None:
        with watched_by(Silent()):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert installed() is None


def test_nothing_that_is_deployed_installs_one() -> None:
    """Only simulations may."""
    using = [
        path
        for package in ("client", "server", "shared")
        for path in (ROOT / package).rglob("*.py")
        if "watched_by" in path.read_text()
    ]
    assert using == [ROOT / "shared" / "dp" / "witness.py"]
    assert "watched_by" in (ROOT / "simulations" / "federation.py").read_text()
