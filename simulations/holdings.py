"""A picture and a table of who holds what, for the split of a demonstration.

It looks at labels of private examples, so it exists for simulations alone.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from shared.counting import counted
from shared.errors import StateError

_SHOWN = 100
Counts = NDArray[np.int64]  # (clients, labels)


def holdings_table(labels: NDArray[np.int64], parts: Sequence[NDArray[np.int64]]) -> Counts:
    """Examples of each label at each client, shape (clients, labels).

    Args:
        labels: Label of each example of the pool, at least 0.
        parts: Indices into `labels`, one array a client.
    """
    classes = int(labels.max(initial=0)) + 1
    return np.stack([np.bincount(labels[part], minlength=classes) for part in parts])


def plot_holdings(
    labels: NDArray[np.int64], parts: Sequence[NDArray[np.int64]], path: Path
) -> None:
    """Write one self-contained HTML page: a bar a client, stacked by label.

    The first 100 clients are drawn; the title says of how many.

    Raises:
        StateError: the page cannot be written.
    """
    counts = holdings_table(labels, parts[:_SHOWN])
    clients = [f"site-{index:06d}" for index in range(len(counts))]
    figure = go.Figure(
        [
            go.Bar(name=f"label {label}", x=clients, y=counts[:, label])
            for label in range(counts.shape[1])
        ]
    )
    shown = f" (the first {len(counts)} drawn)" if len(counts) < len(parts) else ""
    sizes = np.array([len(part) for part in parts])
    figure.update_layout(
        barmode="stack",
        template="plotly_white",
        title=f"Who holds what: {counted(len(parts), 'client')}{shown}, "
        f"{sizes.min()} to {sizes.max()} examples each",
        yaxis_title="examples",
    )
    try:
        figure.write_html(path, include_plotlyjs=True, full_html=True)
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error}") from error
