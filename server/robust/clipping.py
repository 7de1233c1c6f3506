"""Nobody pulls further than a length, which the run gives or the honest majority.

Source: Karimireddy, He, Jaggi 2021, "Learning from history" (arXiv:2012.10333), for centred
clipping; Sun et al. 2019 (arXiv:1911.07963) for the norm bound. Deviations: the centre begins at
the round's own median instead of the last round's result, so that no state is kept; a length that
is not given is the median of those of the round, so that fewer than half cannot choose it.
"""

import numpy as np

from server.robust.columns import median
from server.robust.kept import Kept, Vector

_STEPS = 3


def centred_clipping(kept: Kept, byzantine: int, bound: float) -> Vector:
    """Three steps from the median by the mean of all differences to it, each cut to τ."""
    centre = median(kept, byzantine)
    for _ in range(_STEPS):
        away = kept.distances_to(centre)
        kept_shares = _shares(away, bound or float(np.median(away))) / kept.count
        # v + Σ wᵢ(xᵢ − v) = (1 − Σ wᵢ)·v + Σ wᵢ·xᵢ
        centre = (1.0 - kept_shares.sum()) * centre + kept.weighted(kept_shares)
    return centre


def norm_bound(kept: Kept, byzantine: int, bound: float) -> Vector:
    """The mean of all updates, each cut to length B."""
    del byzantine  # each moves the mean by at most 2·B/n
    lengths = kept.norms()
    return kept.weighted(_shares(lengths, bound or float(np.median(lengths))) / kept.count)


def _shares(lengths: Vector, bound: float) -> Vector:
    """By what each vector is multiplied so that none is longer than `bound`."""
    return np.divide(bound, lengths, out=np.ones_like(lengths), where=lengths > bound)
