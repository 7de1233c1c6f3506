"""One client's share of the integer noise of a sum."""

from shared.dp.integer_noise import discrete_gaussian, skellam
from shared.dp.randomness import RandomStream
from shared.secagg.ring import Integers

_SAMPLERS = {"discrete_gaussian": discrete_gaussian, "skellam": skellam}


def add_share(whole: Integers, variance: int, family: str, stream: RandomStream) -> Integers:
    """`whole` + independent noise of `variance` in each number.

    Raises:
        ConfigurationError: a variance that the family's sampler does not make.
    """
    return whole + _SAMPLERS[family](variance, len(whole), stream)
