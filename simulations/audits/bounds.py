"""Lower bounds and estimates of epsilon from measured guesses and scores.

A bound exceeds the epsilon of the audited mechanism with probability at most alpha; an estimate
promises nothing of the kind. They are of different types, so that one cannot pass for the other.

Source: Steinke, Nasr & Jagielski 2023 (arXiv:2305.08846, theorem 5.2); Mahloujifar et al. 2024
(arXiv:2410.22235); Andrew et al. 2023 (arXiv:2302.03098); Clopper & Pearson 1934.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import bdtr, bdtrc, log_ndtr, ndtri

Scores = NDArray[np.float64]
_FromRates = Callable[[float, float], float]
_LARGEST = 200.0
_NEAR = 1e-9


@dataclass(frozen=True, slots=True)
class LowerBound:
    """The mechanism's epsilon is at least `epsilon`, but for a probability 1 - `confidence`."""

    epsilon: float
    delta: float
    confidence: float
    guesses: int
    correct: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What epsilon may be; `low`, `high`: 5th and 95th percentile of the bootstrap. No bound."""

    epsilon: float
    delta: float
    low: float
    high: float


def gaussian_delta(epsilon: float, mu: float) -> float:
    """δ(ε) of two unit normals at distance `mu`."""
    if mu <= 0.0:
        return 0.0
    first = float(np.exp(log_ndtr(mu / 2 - epsilon / mu)))
    return max(0.0, first - float(np.exp(epsilon + log_ndtr(-mu / 2 - epsilon / mu))))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Smallest ε >= 0 at which two unit normals at distance `mu` are (ε, `delta`)-close.

    >>> round(gaussian_epsilon(1.0, 1e-5), 3)
    4.377
    """
    return _supremum(lambda epsilon: gaussian_delta(epsilon, mu) > delta, 10.0 * _LARGEST)


def mu_from_rates(false_positive: float, false_negative: float) -> float:
    """Φ⁻¹(1 - p) - Φ⁻¹(r) for upper bounds p, r of an attacker's error rates; at least 0."""
    if false_positive >= 1.0 or false_negative >= 1.0:
        return 0.0
    return max(0.0, -float(ndtri(false_positive)) - float(ndtri(false_negative)))


def two_sided_bounds(
    without: Scores, with_unit: Scores, *, delta: float, alpha: float = 0.05
) -> tuple[LowerBound, LowerBound]:
    """Bounds from independent runs without and with one unit, higher scores with it.

    A threshold is chosen on the first half of each, and judged on the second.

    Returns:
        Against a claimed Gaussian trade-off, and against (ε, δ) alone.
    """
    half0, half1 = len(without) // 2, len(with_unit) // 2
    judged = without[half0:], with_unit[half1:]

    def bound(epsilon: _FromRates, growing: _FromRates) -> LowerBound:
        threshold = _best_threshold(without[:half0], with_unit[:half1], alpha, growing)
        wrong = int(np.sum(judged[0] > threshold)) + int(np.sum(judged[1] <= threshold))
        p, r = _rates(*judged, np.array([threshold]), alpha)
        trials = len(judged[0]) + len(judged[1])
        found = epsilon(float(p[0]), float(r[0]))
        return LowerBound(found, delta, 1 - alpha, trials, trials - wrong)

    def plain(p: float, r: float) -> float:
        return max(0.0, _log_ratio(1 - r - delta, p), _log_ratio(1 - p - delta, r))

    # Epsilon grows with mu, which costs nothing to find, for every threshold that is tried.
    gaussian = bound(lambda p, r: gaussian_epsilon(mu_from_rates(p, r), delta), mu_from_rates)
    return gaussian, bound(plain, plain)


def _log_ratio(numerator: float, denominator: float) -> float:
    return math.log(numerator / denominator) if numerator > 0 and denominator > 0 else 0.0


def _rates(
    without: Scores, with_unit: Scores, thresholds: Scores, alpha: float
) -> tuple[Scores, Scores]:
    """Upper bounds of false positives and false negatives at each of `thresholds`."""
    positives = len(without) - np.searchsorted(np.sort(without), thresholds, side="right")
    negatives = np.searchsorted(np.sort(with_unit), thresholds, side="right")
    return (
        _upper(positives, len(without), alpha / 2),
        _upper(negatives, len(with_unit), alpha / 2),
    )


def _upper(errors: NDArray[np.int64], trials: int, alpha: float) -> Scores:
    room = np.maximum(trials - errors, 1)
    found = stats.beta.ppf(1.0 - alpha, errors + 1, room)
    return np.where(errors >= trials, 1.0, found)


def _best_threshold(without: Scores, with_unit: Scores, alpha: float, growing: _FromRates) -> float:
    pooled = np.concatenate([without, with_unit])
    ends = np.geomspace(1e-4, 0.5, 40)
    tried = np.quantile(pooled, np.concatenate([ends, 1.0 - ends]))
    reached = [
        growing(float(p), float(r))
        for p, r in zip(*_rates(without, with_unit, tried, alpha), strict=True)
    ]
    return float(tried[int(np.argmax(reached))])


def steinke_bound(
    canaries: int, guesses: int, correct: int, *, delta: float, alpha: float = 0.05
) -> LowerBound:
    """Bound 1, for any (ε, δ): `correct` of `guesses`, out of `canaries` fair coins, in one run."""
    fewer, before = np.arange(correct), np.arange(1, correct + 1)

    def rejected(epsilon: float) -> bool:
        # scipy.stats' binomial has the same figures, and takes forty times as long.
        right = 1.0 / (1.0 + math.exp(-epsilon))
        beta = float(bdtrc(correct - 1, guesses, right))
        if beta > alpha:
            return False
        at_most = np.concatenate([[0.0], bdtr(fewer, guesses, right)])
        worst = float(np.max((at_most[-1] - at_most[-2::-1]) / before))
        return beta + 2.0 * canaries * delta * worst <= alpha

    epsilon = _supremum(rejected, _LARGEST) if correct else 0.0
    return LowerBound(epsilon, delta, 1 - alpha, guesses, correct)


def gaussian_one_run_bound(
    canaries: int, guesses: int, correct: int, *, delta: float, alpha: float = 0.05
) -> LowerBound:
    """Bound 2, for the Gaussian trade-off of (ε, δ): stronger where that is claimed."""

    def rejected(mu: float) -> bool:
        right, wrong = alpha * correct / canaries, alpha * (guesses - correct) / canaries
        for index in range(correct - 1, -1, -1):
            reached = max(wrong, _ndtr(float(ndtri(right)) - mu))
            right = min(1.0, right + index / (guesses - index) * (reached - wrong))
            wrong = reached
            if right + wrong > guesses / canaries:
                return True
        return right + wrong > guesses / canaries

    mu = _supremum(rejected, 30.0) if guesses else 0.0
    return LowerBound(gaussian_epsilon(mu, delta), delta, 1 - alpha, guesses, correct)


def _ndtr(value: float) -> float:
    return 0.5 * math.erfc(-value / math.sqrt(2.0))


def two_gaussian_estimate(
    unseen: Scores, seen: Scores, *, delta: float, generator: np.random.Generator
) -> Estimate:
    """Epsilon between normals fitted to the scores, with a bootstrap interval of 90 %."""
    resampled = [
        fitted_epsilon(
            generator.choice(unseen, len(unseen)), generator.choice(seen, len(seen)), delta
        )
        for _ in range(100)
    ]
    low, high = np.quantile(resampled, [0.05, 0.95])
    return Estimate(fitted_epsilon(unseen, seen, delta), delta, float(low), float(high))


def fitted_epsilon(unseen: Scores, seen: Scores, delta: float) -> float:
    """Epsilon between normals fitted to the scores; 0 where they do not vary."""
    first = (float(np.mean(unseen)), float(np.std(unseen)))
    second = (float(np.mean(seen)), float(np.std(seen)))
    if min(first[1], second[1]) <= 0.0:
        return 0.0
    return _supremum(
        lambda epsilon: (
            max(normal_delta(epsilon, second, first), normal_delta(epsilon, first, second)) > delta
        ),
        _LARGEST,
    )


def normal_delta(epsilon: float, p: tuple[float, float], q: tuple[float, float]) -> float:
    """sup over sets S of P(S) - e^ε Q(S), for normals given as (mean, standard deviation).

    In closed form: S is where ax² + bx + c > ε, the log of the ratio of densities.
    """
    (mean_p, sd_p), (mean_q, sd_q) = p, q
    a = 0.5 / sd_q**2 - 0.5 / sd_p**2
    b = mean_p / sd_p**2 - mean_q / sd_q**2
    c = 0.5 * (mean_q / sd_q) ** 2 - 0.5 * (mean_p / sd_p) ** 2 + math.log(sd_q / sd_p) - epsilon

    def mass(low: float, high: float) -> float:
        inside_p = _ndtr((high - mean_p) / sd_p) - _ndtr((low - mean_p) / sd_p)
        inside_q = _ndtr((high - mean_q) / sd_q) - _ndtr((low - mean_q) / sd_q)
        return inside_p - math.exp(epsilon) * inside_q

    if abs(a) < 1e-12:
        if abs(b) < 1e-12:
            return max(0.0, 1.0 - math.exp(epsilon)) if c > 0 else 0.0
        root = -c / b
        return max(0.0, mass(root, math.inf) if b > 0 else mass(-math.inf, root))
    discriminant = b * b - 4 * a * c
    if discriminant <= 0.0:
        return max(0.0, 1.0 - math.exp(epsilon)) if a > 0 else 0.0
    low, high = sorted((-b + sign * math.sqrt(discriminant)) / (2 * a) for sign in (-1, 1))
    outside = mass(-math.inf, low) + mass(high, math.inf)
    return max(0.0, outside if a > 0 else mass(low, high))


def _supremum(holds: Callable[[float], bool], largest: float) -> float:
    """Largest x in [0, `largest`] at which `holds`, a property of all smaller x; 0 if nowhere.

    It holds there, and not 1e-9 further on.
    """
    low, high = 0.0, largest
    if not holds(low):
        return 0.0
    while high - low > _NEAR:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
