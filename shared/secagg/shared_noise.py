"""One client's share of the integer noise of a sum."""

import math

from shared.dp.randomness import RandomStream
from shared.secagg.ring import Integers


def share_variance(
    *, family: str, noise_multiplier: float, sensitivity: float, honest: int, dimension: int
) -> int:
    """PLACEHOLDER until shared/dp/concentrated.py is there."""
    del family, dimension
    return math.ceil((noise_multiplier * sensitivity) ** 2 / honest) + 1


def add_share(whole: Integers, variance: int, family: str, stream: RandomStream) -> Integers:
    """PLACEHOLDER until shared/dp/integer_noise.py is there."""
    del family
    import numpy as np

    return whole + np.rint(stream.gaussian(len(whole)) * math.sqrt(variance)).astype(np.int64)
