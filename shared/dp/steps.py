"""A history of events as distinct, valid steps and how often each was done.

So sixty equal rounds cost the accountant one step raised to the sixtieth power, and nothing that
cannot be accounted gets as far as the accountant.
"""

import math
from collections import Counter

from dp_accounting import dp_event as dp

from shared.dp.integer_event import IntegerNoiseDpEvent
from shared.errors import PrivacyError

Counts = tuple[tuple[dp.DpEvent, int], ...]


def merged(event: dp.DpEvent) -> Counts:
    """The distinct steps of `event`, each with its count, in an order that does not depend on it.

    A step is a Gaussian or integer noise, Poisson sampled or not, a truncated Poisson sampled
    Gaussian, or a release without privacy. Sampling at rate 1, a cap at the population and noise 0
    become what they are.

    Raises:
        PrivacyError: an event of another kind, or with a parameter outside its domain.
    """
    counts: Counter[dp.DpEvent] = Counter()
    _count(event, 1, counts)
    return tuple(sorted(counts.items(), key=repr))


def without_sampling(counts: Counts) -> Counts:
    """The same releases for an observer who knows who took part in each."""
    bare: Counter[dp.DpEvent] = Counter()
    for part, count in counts:
        bare[_unsampled(part)] += count
    return tuple(sorted(bare.items(), key=repr))


def _count(event: dp.DpEvent, times: int, counts: Counter[dp.DpEvent]) -> None:
    if isinstance(event, dp.SelfComposedDpEvent):
        if type(event.count) is not int or event.count < 0:
            raise PrivacyError(f"count must be a whole number at least 0, got {event.count!r}")
        _count(event.event, times * event.count, counts)
    elif isinstance(event, dp.ComposedDpEvent):
        for part in event.events:
            _count(part, times, counts)
    elif not isinstance(event, dp.NoOpDpEvent) and times:
        counts[_step(event)] += times


def _step(event: dp.DpEvent) -> dp.DpEvent:
    """`event` in its plainest form, if it is a step."""
    if isinstance(event, dp.NonPrivateDpEvent):
        return event
    if isinstance(event, dp.GaussianDpEvent | IntegerNoiseDpEvent):
        noise = event.noise_multiplier
        if not (math.isfinite(noise) and noise >= 0.0):
            raise PrivacyError(f"noise_multiplier must be at least 0 and finite, got {noise!r}")
        return event if noise > 0.0 else dp.NonPrivateDpEvent()
    if isinstance(event, dp.PoissonSampledDpEvent):
        return _sampled_step(event)
    if isinstance(event, dp.TruncatedSubsampledGaussianDpEvent):
        return _truncated_step(event)
    raise PrivacyError(f"expected an event that can be accounted, got {type(event).__name__}")


def _sampled_step(event: dp.PoissonSampledDpEvent) -> dp.DpEvent:
    rate = event.sampling_probability
    if not 0.0 < rate <= 1.0:
        raise PrivacyError(f"sampling_probability must be in (0, 1], got {rate!r}")
    inner = _step(event.event)
    if isinstance(inner, dp.NonPrivateDpEvent) or rate == 1.0:
        return inner
    if not isinstance(inner, dp.GaussianDpEvent | IntegerNoiseDpEvent):
        raise PrivacyError(f"expected a sampled Gaussian event, got {type(inner).__name__}")
    return event


def _truncated_step(event: dp.TruncatedSubsampledGaussianDpEvent) -> dp.DpEvent:
    cap = event.truncated_batch_size
    if cap < 1:
        raise PrivacyError(f"truncated_batch_size must be at least 1, got {cap!r}")
    poisson = _sampled_step(
        dp.PoissonSampledDpEvent(
            event.sampling_probability, dp.GaussianDpEvent(event.noise_multiplier)
        )
    )
    binds = cap < event.dataset_size and not isinstance(poisson, dp.NonPrivateDpEvent)
    return event if binds else poisson


def _unsampled(part: dp.DpEvent) -> dp.DpEvent:
    if isinstance(part, dp.PoissonSampledDpEvent):
        return part.event
    if isinstance(part, dp.TruncatedSubsampledGaussianDpEvent):
        return dp.GaussianDpEvent(part.noise_multiplier)
    return part
