"""An estimate above the claim is no news where sound code's would be as large."""

import numpy as np
from scipy.stats import binom

from simulations.audits.bounds import Scores, fitted_epsilon
from simulations.audits.ideal import QUANTILE, largest_of_sound_code
from tests.significance import ALPHA

RATE, Z, SUMS, EACH, DELTA = 0.3, 1.63, 3, 192, 1e-5


def score(signal: Scores) -> Scores:
    """A sum's share, as canaries have it."""
    gained: Scores = np.logaddexp(np.log1p(-RATE), np.log(RATE) + (signal - 0.5) / Z**2)
    return gained


def estimates(times: int, noise: float, generator: np.random.Generator) -> Scores:
    """Of mechanisms with so much noise, scored as if it were the planned one."""
    shape = (times, EACH, SUMS)
    without = score(noise * generator.standard_normal(shape)).sum(2)
    drawn = generator.random(shape) < RATE
    within = score(drawn + noise * generator.standard_normal(shape)).sum(2)
    found = [fitted_epsilon(a, b, DELTA) for a, b in zip(without, within, strict=True)]
    return np.array(found)


def largest() -> float:
    """Of the planned noise."""
    generator = np.random.default_rng(7)
    return largest_of_sound_code(
        [SUMS, SUMS],
        (EACH, EACH),
        lambda taken: score(taken + Z * generator.standard_normal(len(taken))),
        RATE,
        delta=DELTA,
        generator=generator,
    )


def test_sound_code_is_as_good_as_never_above_and_leaking_code_often_is() -> None:
    """In three sums of which a canary is in one: the planned noise, and a third of it."""
    limit, generator = largest(), np.random.default_rng(8)
    # The quantile is of 1,000 draws, so the true chance may be some times 1e-3.
    few = int(binom.isf(ALPHA, 300, 5 * (1 - QUANTILE)))
    assert (estimates(300, Z, generator) > limit).sum() <= few
    assert (estimates(40, Z / 3, generator) > limit).mean() > 0.5


def test_the_same_draws_give_the_same_limit() -> None:
    """A report can be made again; it lies far above the median of sound code."""
    assert largest() == largest() > 8.0
