"""The accounting event of integer noise whose shares many parties add."""

from dataclasses import dataclass

from dp_accounting import dp_event as dp


@dataclass(frozen=True)
class IntegerNoiseDpEvent(dp.DpEvent):  # type: ignore[misc]  # dp-accounting has no stubs
    """A whole-numbered vector + a sum of symmetric integer noises, seen modulo 2^b.

    Its Rényi divergence at each whole order is at most that of a Gaussian mechanism of the same
    noise multiplier (`shared/dp/concentrated.py` proves it of discrete Gaussian and Skellam sums).
    That is all that is used: no privacy loss distribution of it is known in many dimensions.

    Attributes:
        noise_multiplier: z; Rényi divergence at order α at most α/(2z²).
    """

    noise_multiplier: float


def continuous(event: dp.DpEvent) -> dp.DpEvent:
    """`event` with continuous Gaussian noise in place of integer noise: not a bound of it."""
    if isinstance(event, IntegerNoiseDpEvent):
        return dp.GaussianDpEvent(event.noise_multiplier)
    if isinstance(event, dp.PoissonSampledDpEvent):
        return dp.PoissonSampledDpEvent(event.sampling_probability, continuous(event.event))
    return event


def is_integer(event: dp.DpEvent) -> bool:
    """Whether a step, sampled or not, has integer noise."""
    if isinstance(event, dp.PoissonSampledDpEvent):
        return is_integer(event.event)
    return isinstance(event, IntegerNoiseDpEvent)
