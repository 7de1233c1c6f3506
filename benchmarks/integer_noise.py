"""How fast integer noise is drawn, beside a copy of the memory and NumPy's rounded normal numbers.

    python benchmarks/integer_noise.py --count 1000000 --repeat 7

One thread, in one run; the median of the repetitions. NumPy's numbers are neither exact nor
cryptographic: they are a yardstick, not an alternative.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from shared.dp.integer_noise import WIDEST_SKELLAM, discrete_gaussian, skellam
from shared.dp.randomness import RandomStream

SIGMAS = (1, 10, 100, 300, 3_000, 4_096, 30_000, 1_000_000)


def rate(draw: Callable[[], object], count: int, repeat: int) -> float:
    """Millions of numbers a second; the first call makes the tables and is not counted."""
    draw()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        draw()
        seconds.append(time.perf_counter() - start)
    return count / statistics.median(seconds) / 1e6


def main() -> None:
    """Print one line for each width."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=7)
    given = parser.parse_args()
    count, repeat, stream = given.count, given.repeat, RandomStream(bytes(32))
    source, target = np.zeros(count, dtype=np.int64), np.empty(count, dtype=np.int64)
    generator = np.random.default_rng(0)
    print(f"copy of int64: {rate(lambda: np.copyto(target, source), count, repeat):.0f} M/s")
    normal = rate(lambda: np.rint(generator.normal(size=count)).astype(np.int64), count, repeat)
    print(f"NumPy normal, rounded: {normal:.1f} M/s")
    for sigma in SIGMAS:
        variance = sigma * sigma
        line = rate(lambda v=variance: discrete_gaussian(v, count, stream), count, repeat)  # type: ignore[misc]
        text = f"sigma {sigma}: discrete Gaussian {line:.1f} M/s ({line / normal:.1f} of NumPy)"
        if variance <= WIDEST_SKELLAM:
            other = rate(lambda v=variance: skellam(v, count, stream), count, repeat)  # type: ignore[misc]
            text += f", Skellam {other:.1f} M/s ({other / normal:.1f})"
        print(text)


if __name__ == "__main__":
    main()
