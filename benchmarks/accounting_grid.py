"""Our claims over a grid, beside independent bounds: none below a lower one, none far above.

    PYTHONPATH=. python benchmarks/accounting_grid.py --out grid.jsonl

Sampling rate 1 to 10⁻⁴, noise 0.3 to 20, 1 to 10⁵ steps, delta 10⁻⁵ to 10⁻¹⁴. Lower bound: the
exact Gaussian at rate 1; otherwise the PRV accountant of Opacus (estimate less twice its error),
the optimistic distribution of dp-accounting, and the one-step bound of Poisson sampling, whichever
is largest. Upper: the smallest of PLD at 2·10⁻⁵, RDP, PRV and the exact Gaussian of the unsampled
steps. Below a delta of 10⁻¹⁰ dp-accounting's own composition is too rough in either direction, and
the distributions are composed by `shared.dp.tail`. One JSON line a case; the last is the summary.
"""

import argparse
import itertools
import json
import math
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from dp_accounting import dp_event as dp
from dp_accounting.pld import privacy_loss_distribution
from opacus.accountants import PRVAccountant
from scipy import optimize, stats

from shared.dp.accounting import epsilon_of
from shared.dp.mechanisms import Adjacency
from shared.dp.tail import small_delta_epsilon

RATES = (1.0, 0.3, 0.1, 0.01, 1e-3, 1e-4)
NOISES = (0.3, 0.6, 1.0, 3.0, 20.0)
STEPS = (1, 100, 10_000, 100_000)
DELTAS = (1e-5, 1e-9, 1e-14)
_MOST = 60.0  # PRV needs memory by epsilon


def exact_gaussian(noise: float, steps: int, delta: float) -> float:
    """Balle & Wang 2018, theorem 8."""
    scale = noise / math.sqrt(steps)

    def excess(epsilon: float) -> float:
        second = math.exp(epsilon + stats.norm.logcdf(-0.5 / scale - epsilon * scale))
        return float(stats.norm.cdf(0.5 / scale - epsilon * scale) - second - delta)

    if excess(0.0) <= 0.0:
        return 0.0
    return float(optimize.brentq(excess, 0.0, 0.5 / scale**2 + 12.0 / scale, xtol=1e-12))


def one_step(rate: float, noise: float, delta: float) -> float:
    """A release of one step is a post-processing of all: delta(eps) of q·N(1)+(1-q)·N(0)."""

    def excess(epsilon: float) -> float:
        ratio = (math.expm1(epsilon) + rate) / rate
        if ratio <= 0.0:
            return 1.0
        place = noise**2 * math.log(ratio) + 0.5
        mixed = (1 - rate) * stats.norm.sf(place / noise) + rate * stats.norm.sf(
            (place - 1) / noise
        )
        return float(mixed - math.exp(epsilon) * stats.norm.sf(place / noise) - delta)

    if excess(0.0) <= 0.0:
        return 0.0
    high = 1.0
    while excess(high) > 0.0 and high < 700.0:
        high *= 2.0
    return float(optimize.brentq(excess, 0.0, min(high, 700.0), xtol=1e-12))


def prv(rate: float, noise: float, steps: int, delta: float, about: float) -> tuple[float, float]:
    """(lower, upper) by Opacus' PRV; (0, infinity) where it fails."""
    if about > _MOST or delta < 1e-12:
        return 0.0, math.inf
    error = min(0.01, max(about * 2e-3, 5e-4))
    accountant = PRVAccountant()
    accountant.history = [(noise, rate, steps)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            upper = float(accountant.get_epsilon(delta, eps_error=error))
    except (RuntimeError, ValueError, IndexError, MemoryError, OverflowError):
        return 0.0, math.inf
    return max(0.0, upper - 2 * error), upper


def pld(
    rate: float, noise: float, steps: int, delta: float, interval: float, *, upper: bool
) -> float:
    """By dp-accounting's distribution, pessimistic or optimistic."""
    single = privacy_loss_distribution.from_gaussian_mechanism(
        noise,
        pessimistic_estimate=upper,
        value_discretization_interval=interval,
        sampling_prob=rate,
        use_connect_dots=upper,
    )
    if delta < 1e-10:
        return small_delta_epsilon([(single, steps)], delta)
    return float(single.self_compose(steps).get_epsilon_for_delta(delta))


def case(rate: float, noise: float, steps: int, delta: float) -> dict[str, object]:
    """One point of the grid."""
    started = time.monotonic()
    bare = dp.GaussianDpEvent(noise)
    step = bare if rate == 1.0 else dp.PoissonSampledDpEvent(rate, bare)
    event = dp.SelfComposedDpEvent(step, steps)
    claim = epsilon_of(event, delta, Adjacency.ADD_OR_REMOVE_ONE)
    seconds = time.monotonic() - started
    if rate == 1.0:
        lower = upper = exact_gaussian(noise, steps, delta)
    else:
        low, high = prv(rate, noise, steps, delta, claim.epsilon)
        lower = max(low, one_step(rate, noise, delta))
        upper = min(high, math.inf if claim.rdp is None else claim.rdp)
        upper = min(upper, exact_gaussian(noise, steps, delta))
        if claim.epsilon < 20.0:
            upper = min(upper, pld(rate, noise, steps, delta, 2e-5, upper=True))
            lower = max(lower, pld(rate, noise, steps, delta, 1e-4, upper=False))
    return {
        "rate": rate, "noise": noise, "steps": steps, "delta": delta, "claim": claim.epsilon,
        "method": claim.method, "agree": claim.agree, "lower": lower, "upper": upper,
        "below": claim.epsilon < lower - 1e-9,
        # The claim is rounded up to four decimals.
        "above": claim.epsilon > upper * 1.01 + 2e-4,
        "finite": math.isfinite(claim.epsilon), "seconds": round(seconds, 3),
    }  # fmt: skip


def grid() -> Iterator[tuple[float, float, int, float]]:
    """All cases."""
    yield from itertools.product(RATES, NOISES, STEPS, DELTAS)


def main() -> None:
    """Run the grid."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("accounting_grid.jsonl"))
    options = parser.parse_args()
    found = []
    with options.out.open("w") as lines:
        for point in grid():
            result = case(*point)
            found.append(result)
            lines.write(json.dumps(result) + "\n")
            lines.flush()
            if result["below"] or result["above"] or not result["finite"]:
                print(json.dumps(result), flush=True)
    summary = {
        "cases": len(found),
        "below_a_lower_bound": sum(bool(r["below"]) for r in found),
        "more_than_1_percent_above": sum(bool(r["above"]) for r in found),
        "not_finite": sum(not r["finite"] for r in found),
        "slowest_seconds": max(float(str(r["seconds"])) for r in found),
        "dp_accounting": version("dp-accounting"),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
