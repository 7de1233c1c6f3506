"""The ServerApp that Flower loads runs the federation that its run config describes."""

import json
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from server.app import app
from shared.config import Scalar
from shared.errors import BudgetExhausted, ConfigurationError
from tests.server.fake_grid import FakeGrid, honest
from tests.server.toy import settings


def start(folder: Path, changes: dict[str, Scalar] | None = None) -> None:
    """As Flower does."""
    grid = FakeGrid(3, honest)
    context = Context(
        run_id=1, node_id=1, node_config={}, state=RecordDict(),
        run_config=settings(folder, changes),
    )  # fmt: skip
    app(grid=grid, context=context)


def test_the_app_runs_what_its_run_config_says(tmp_path: Path) -> None:
    """To its end."""
    start(tmp_path)
    assert json.loads((tmp_path / "toy/summary.json").read_text())["status"] == "finished"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"rouds": 3}, ConfigurationError),
        ({"privacy.epsilon_budget": 0.01}, BudgetExhausted),
    ],
)
def test_what_is_raised_reaches_flower(
    tmp_path: Path, changes: dict[str, Scalar], error: type[Exception]
) -> None:
    """Nothing is swallowed at the edge: the run is marked as failed."""
    with pytest.raises(error):
        start(tmp_path, changes)


def test_over_flowers_own_grid_an_error_says_its_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flower keeps the text alone, and `murmura run` reads it there."""
    monkeypatch.setattr("server.app.bounded", lambda _grid: FakeGrid(3, honest))
    with pytest.raises(BudgetExhausted, match=r"^BudgetExhausted: the plan must spend"):
        start(tmp_path, {"privacy.epsilon_budget": 0.01})
