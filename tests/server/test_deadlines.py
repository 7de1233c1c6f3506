"""Every round ends: with peers that say nothing a run waits as long as it was told, and no longer.

On a clock of the test's own, which only waiting moves.
"""

from pathlib import Path
from types import SimpleNamespace

import pytest

from server import enrolment, exchange
from server.coordinator import run
from server.enrolment import Enrolment
from shared.config import Scalar
from shared.errors import ConfigurationError, TooFewSurvivors
from tests.server.fake_grid import FakeGrid, named, silent
from tests.server.toy import config

T = 60.0
STEP = 0.2  # of a poll, at most


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were waited."""
    now = [0.0]
    own = SimpleNamespace(
        monotonic=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds)
    )
    for module in (exchange, enrolment):
        monkeypatch.setattr(module, "time", own)
    return now


@pytest.mark.parametrize("unit", ["record", "client"])
@pytest.mark.parametrize("attempts", [1, 3])
def test_a_round_in_which_nobody_answers_ends_with_its_last_attempt(
    tmp_path: Path, clock: list[float], unit: str, attempts: int
) -> None:
    """After `cohort.timeout_s` each; the run ends and can be resumed."""
    changes: dict[str, Scalar] = {
        "cohort.timeout_s": T, "cohort.attempts": attempts, "privacy.unit": unit,
        "privacy.epsilon_budget": 1e6,
    }  # fmt: skip
    with pytest.raises(TooFewSurvivors):
        run(config(tmp_path, changes), FakeGrid(3, silent))
    assert attempts * T <= clock[0] <= attempts * (T + STEP)


def test_a_run_with_too_few_sites_waits_once_at_its_start(clock: list[float]) -> None:
    """Not once for nodes and once more for their names."""
    grid = FakeGrid(3, silent, enrolment=lambda i, m: [named(f"site-{i}", m)] if i else [])
    # The last node comes just before the end, and never says its name.
    grid.online = lambda _: range(3 if clock[0] > 0.9 * T else 2)
    with pytest.raises(ConfigurationError, match="to enrol, got 2"):
        Enrolment(grid, config(Path(), {"cohort.timeout_s": T})).begin()
    assert T <= clock[0] <= T + STEP


def test_a_run_whose_sites_never_come_says_how_many_it_needs(clock: list[float]) -> None:
    """After the same time."""
    grid = FakeGrid(3, silent)
    grid.online = lambda _: range(1)
    with pytest.raises(ConfigurationError, match="got 1 nodes online"):
        Enrolment(grid, config(Path(), {"cohort.timeout_s": T})).begin()
    assert T <= clock[0] <= T + STEP
