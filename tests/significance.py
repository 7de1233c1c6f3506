"""Statistical assertions with a stated rate of false alarms, and sizes chosen from the error.

ALPHA is the probability that one assertion rejects a correct implementation: 200 of them run
5,000 times a year give one false alarm. For noise, both the variance (χ²) and the shape
(Kolmogorov-Smirnov) are tested: the first misses another shape of equal variance, the second
misses a standard deviation that is 5 % off.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

ALPHA = 1e-6
# A standard deviation that is 5 % off is missed with probability below 10⁻⁶ (exact χ² power).
NOISE_SAMPLES = 20_000


def normal_p_value(values: NDArray[np.float64], stddev: float) -> float:
    """Smaller p-value of the χ² test of the variance and the KS test of 𝒩(0, stddev²), doubled."""
    scaled = values / stddev
    chi = stats.chi2(len(scaled))
    total = float(np.sum(scaled**2))
    variance = 2.0 * float(min(chi.cdf(total), chi.sf(total)))
    shape = float(stats.kstest(scaled, "norm").pvalue)
    return min(1.0, 2.0 * min(variance, shape))


def binomial_p_value(successes: int, trials: int, probability: float) -> float:
    """Exact two-sided p-value of a rate."""
    return float(stats.binomtest(successes, trials, probability).pvalue)


def is_normal(values: NDArray[np.float64], stddev: float) -> bool:
    """Whether `values` may be independent 𝒩(0, stddev²)."""
    return normal_p_value(values, stddev) > ALPHA


def has_rate(successes: int, trials: int, probability: float) -> bool:
    """Whether `successes` of `trials` may be of this probability."""
    return binomial_p_value(successes, trials, probability) > ALPHA
