"""Who holds what, as a table and a page."""

from pathlib import Path

import numpy as np
import pytest

from shared.errors import StateError
from simulations.holdings import holdings_table, plot_holdings

LABELS = np.array([0, 1, 1, 2, 2, 2])
PARTS = (np.array([0, 1]), np.array([2, 3, 4, 5]), np.array([], dtype=np.int64))


def test_the_table_counts_each_label_at_each_client() -> None:
    """A client without examples has a row of zeros."""
    assert holdings_table(LABELS, PARTS).tolist() == [[1, 1, 0], [0, 1, 3], [0, 0, 0]]


def test_the_page_is_self_contained(tmp_path: Path) -> None:
    """It needs no network, and names its clients."""
    plot_holdings(LABELS, PARTS, tmp_path / "holdings.html")
    page = (tmp_path / "holdings.html").read_text(encoding="utf-8")
    assert "site-000002" in page
    assert "Who holds what: 3 clients, 0 to 4 examples each" in page
    assert '<script src="http' not in page


def test_of_many_clients_the_first_are_drawn(tmp_path: Path) -> None:
    """A page of 150 bars would be unreadable; the title says what is left out."""
    parts = tuple(np.array([0]) for _ in range(150))
    plot_holdings(LABELS, parts, tmp_path / "holdings.html")
    page = (tmp_path / "holdings.html").read_text(encoding="utf-8")
    assert "150 clients (the first 100 drawn)" in page
    assert "site-000100" not in page


def test_a_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """No half page."""
    with pytest.raises(StateError, match="cannot be written"):
        plot_holdings(LABELS, PARTS, tmp_path / "missing" / "holdings.html")
