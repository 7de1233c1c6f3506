"""How large an estimate of sound code may be, where two normals are not what scores are.

A canary that is drawn in few sums has a score with a lump for each number of sums that it was in.
An epsilon between normals is then off, and a bootstrap of few such scores does not say how far. So
the same number of scores is drawn from the mechanism as it was planned, again and again.

Source: Davison & Hinkley 1997, chapter 4 (parametric bootstrap tests).
"""

from collections.abc import Callable, Sequence

import numpy as np

from simulations.audits.bounds import Scores, fitted_epsilon

QUANTILE = 0.999
_DRAWS, _NUMBERS, _TIMES = 20_000, 4_000_000, 1000


def largest_of_sound_code(
    sums: Sequence[int],
    counts: tuple[int, int],
    seen: Callable[[Scores], Scores],
    rate: float,
    *,
    delta: float,
    generator: np.random.Generator,
) -> float:
    """The estimate that a mechanism as planned stays below, 999 times of 1000.

    Args:
        sums: How many sums the canaries of each group were scored in.
        counts: Canaries that were not in the data, and that were.
        seen: The share of a score that a sum gives, of 0 or 1 for each canary: whether it is in it.
        rate: Chance of each to be in a sum.
        delta: Of the epsilon.
        generator: Of all draws.
    """
    draws = max(1000, min(_DRAWS, _NUMBERS // max(1, *sums))) // len(sums) + 1
    without, within = [], []
    for count in sums:
        scores = np.zeros((2, draws))
        for _ in range(count):
            scores[0] += seen(np.zeros(draws))
            scores[1] += seen((generator.random(draws) < rate).astype(np.float64))
        without.append(scores[0])
        within.append(scores[1])
    first, second = np.concatenate(without), np.concatenate(within)
    out, into = counts
    estimates = [
        fitted_epsilon(generator.choice(first, out), generator.choice(second, into), delta)
        for _ in range(_TIMES)
    ]
    return float(np.quantile(estimates, QUANTILE))
