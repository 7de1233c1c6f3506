"""A privacy loss distribution composed with itself: dp-accounting's own numbers, bit for bit.

The library bounds where the mass of the composition can lie by the moments of one step, and works
those out anew for each number of steps, which is three quarters of the whole. They are kept here.

Source: dp-accounting 0.6, `common.self_convolve` and `DensePLDPmf.self_compose`; Koskela et al.
2020 for the FFT, and Chernoff's bound for what is cut off and counted as infinite.
"""

import math
from weakref import WeakKeyDictionary

import numpy as np
from dp_accounting.pld.pld_pmf import DensePLDPmf, PLDPmf
from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution
from numpy.typing import NDArray
from scipy import fft, special

Vector = NDArray[np.float64]
_LARGE = 1 << 20  # a transform whose tables are not kept
_CUT = 1e-15  # mass that may be cut off, and is counted as infinite: the library's own
# For as long as the step itself is kept by somebody: it may hold millions of numbers.
_KEPT: WeakKeyDictionary[DensePLDPmf, tuple[Vector, Vector]] = WeakKeyDictionary()
_ORDERS = np.concatenate((np.arange(-20, 0), np.arange(1, 21)))


def self_composed(step: PrivacyLossDistribution, count: int) -> PrivacyLossDistribution:
    """`step.self_compose(count)`, sooner where the same step is composed again and again."""
    removed = _composed(step._pmf_remove, count)  # noqa: SLF001 - no public reader
    if step._symmetric:  # noqa: SLF001 - likewise
        return PrivacyLossDistribution(removed)
    return PrivacyLossDistribution(removed, _composed(step._pmf_add, count))  # noqa: SLF001


def _composed(step: PLDPmf, count: int) -> PLDPmf:
    if type(step) is not DensePLDPmf:
        return step.self_compose(count)
    masses, infinite = step._probs, step._infinity_mass  # noqa: SLF001 - no public reader
    first, last = _ends(step, count)
    length = last - first + 1
    whole = fft.next_fast_len(max(length, len(masses)))
    found = np.real(fft.ifft(fft.fft(masses, whole) ** count))
    if whole > _LARGE:
        _forget_plans()
    # What lies beyond the end of the transform came in again at its beginning.
    found = np.array(np.roll(found, -first)[:length])
    # Guarantee: what is cut off, and infinite in any of the steps, is infinite.
    lost = _CUT - math.expm1(count * math.log1p(-infinite))
    return DensePLDPmf(
        step._discretization,  # noqa: SLF001 - likewise
        step._lower_loss * count + first,  # noqa: SLF001 - likewise
        found,
        lost,
        step._pessimistic_estimate,  # noqa: SLF001 - likewise
    )


def _forget_plans() -> None:
    """The library keeps tables for the last 16 lengths, larger than what was transformed."""
    for length in range(32, 48):
        fft.ifft(fft.fft(np.zeros(length)))


def _ends(step: DensePLDPmf, count: int) -> tuple[int, int]:
    """Outside of these places of the composition there is at most `_CUT`."""
    orders, moments = _moments(step)
    bounds = (count * moments + math.log(2 / _CUT)) / orders
    below, above = bounds[orders < 0], bounds[orders > 0]
    first = max([0, *map(math.floor, below[np.isfinite(below)])])
    everything = (len(step._probs) - 1) * count  # noqa: SLF001 - likewise
    return first, min([everything, *map(math.ceil, above[np.isfinite(above)])])


def _moments(step: DensePLDPmf) -> tuple[Vector, Vector]:
    """Orders, and the logarithm of each one's moment of a step."""
    if step not in _KEPT:
        masses = step._probs  # noqa: SLF001 - likewise
        orders = _ORDERS / len(masses)
        places = np.arange(len(masses))
        moments = [special.logsumexp(places * order, b=masses) for order in orders]
        _KEPT[step] = orders, np.array(moments)
    return _KEPT[step]
