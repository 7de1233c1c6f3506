"""Updates that have enough others near them; what lies apart from all is left out.

Distances are of updates, in float64; n clients, of whom f may send anything.

Source: Blanchard, El Mhamdi, Guerraoui, Stainer 2017 (NeurIPS) for Krum; Damaskinos et al. 2019,
"AggregaThor" (MLSys), for Multi-Krum with m = n − f − 2; El Mhamdi, Guerraoui, Rouault 2018
(arXiv:1802.07927), section 4, for Bulyan. Deviation: once fewer than f + 4 are left to select
among, Bulyan's score is the distance to the nearest one; the paper leaves it undefined there.
"""

import numpy as np
from numpy.typing import NDArray

from server.robust.kept import Block, Kept, Vector

Distances = NDArray[np.float64]  # (n, n), squared


def krum(kept: Kept, byzantine: int) -> Vector:
    """The one update that lies nearest to its n − f − 2 nearest others."""
    return _mean_of(kept, [int(np.argmin(scores(kept.squared_distances(), byzantine)))])


def multi_krum(kept: Kept, byzantine: int) -> Vector:
    """The mean of the n − f − 2 updates that have the smallest scores."""
    found = scores(kept.squared_distances(), byzantine)
    ranked = np.argsort(found, kind="stable")
    return _mean_of(kept, ranked[: kept.count - byzantine - 2].tolist())


def bulyan(kept: Kept, byzantine: int) -> Vector:
    """Of n − 2f updates selected by Krum: in each coordinate the mean of the n − 4f middle ones."""
    chosen = sorted(_selected(kept.squared_distances(), byzantine))
    wanted = len(chosen) - 2 * byzantine

    def middle(block: Block) -> Vector:
        values = np.sort(block[chosen], axis=0)
        away = np.abs(values - np.median(values, axis=0))
        nearest = np.argsort(away, axis=0, kind="stable")[:wanted]
        found: Vector = np.take_along_axis(values, nearest, axis=0).mean(0)
        return found

    return kept.by_column(middle)


def scores(distances: Distances, byzantine: int) -> Vector:
    """Of each update, the sum of squared distances to its n − f − 2 nearest others."""
    others = max(1, len(distances) - byzantine - 2)
    # The first in each row is the update itself.
    found: Vector = np.sort(distances, axis=1)[:, 1 : others + 1].sum(1)
    return found


def _selected(distances: Distances, byzantine: int) -> list[int]:
    left = list(range(len(distances)))
    chosen = []
    for _ in range(len(distances) - 2 * byzantine):
        among = scores(distances[np.ix_(left, left)], byzantine)
        chosen.append(left.pop(int(np.argmin(among))))
    return chosen


def _mean_of(kept: Kept, chosen: list[int]) -> Vector:
    weights = np.zeros(kept.count)
    weights[chosen] = 1.0 / len(chosen)
    return kept.weighted(weights)
