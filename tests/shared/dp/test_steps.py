"""Histories of events are merged into valid steps, and nothing else gets through."""

import math

import pytest
from dp_accounting import dp_event as dp

from shared.dp.steps import merged, without_sampling
from shared.errors import PrivacyError

GAUSSIAN = dp.GaussianDpEvent(1.5)
SAMPLED = dp.PoissonSampledDpEvent(0.2, GAUSSIAN)
TRUNCATED = dp.TruncatedSubsampledGaussianDpEvent(1000, 0.1, 157, 1.5)


def test_equal_steps_are_counted_however_they_are_nested() -> None:
    """Sixty rounds are one step, sixty times."""
    nested = dp.ComposedDpEvent(
        [SAMPLED, dp.SelfComposedDpEvent(dp.SelfComposedDpEvent(SAMPLED, 2), 29), dp.NoOpDpEvent()]
    )
    assert merged(dp.ComposedDpEvent([nested, SAMPLED, GAUSSIAN])) == ((GAUSSIAN, 1), (SAMPLED, 60))


@pytest.mark.parametrize(
    ("event", "plainest"),
    [
        (dp.PoissonSampledDpEvent(1.0, GAUSSIAN), GAUSSIAN),
        (dp.TruncatedSubsampledGaussianDpEvent(100, 0.2, 100, 1.5), SAMPLED),
        (dp.TruncatedSubsampledGaussianDpEvent(100, 1.0, 100, 1.5), GAUSSIAN),
        (dp.GaussianDpEvent(0.0), dp.NonPrivateDpEvent()),
        (dp.PoissonSampledDpEvent(0.2, dp.GaussianDpEvent(0.0)), dp.NonPrivateDpEvent()),
        (dp.TruncatedSubsampledGaussianDpEvent(9, 0.1, 3, 0.0), dp.NonPrivateDpEvent()),
        (TRUNCATED, TRUNCATED),
    ],
)
def test_a_step_becomes_what_it_is(event: dp.DpEvent, plainest: dp.DpEvent) -> None:
    """Rate 1 samples nothing, a cap at the population cuts nothing, noise 0 hides nothing."""
    assert merged(event) == ((plainest, 1),)


def test_what_was_done_no_times_costs_nothing() -> None:
    """Not even without privacy."""
    assert merged(dp.SelfComposedDpEvent(dp.NonPrivateDpEvent(), 0)) == ()


@pytest.mark.parametrize(
    "event",
    [
        dp.GaussianDpEvent(-1.0),
        dp.GaussianDpEvent(math.nan),
        dp.GaussianDpEvent(math.inf),
        dp.PoissonSampledDpEvent(0.0, GAUSSIAN),
        dp.PoissonSampledDpEvent(1.1, GAUSSIAN),
        dp.PoissonSampledDpEvent(math.nan, GAUSSIAN),
        dp.PoissonSampledDpEvent(0.1, SAMPLED),
        dp.PoissonSampledDpEvent(0.1, dp.LaplaceDpEvent(1.0)),
        dp.TruncatedSubsampledGaussianDpEvent(1000, 0.1, 0, 1.5),
        dp.TruncatedSubsampledGaussianDpEvent(1000, 0.0, 10, 1.5),
        dp.SelfComposedDpEvent(GAUSSIAN, -3),
        dp.SelfComposedDpEvent(GAUSSIAN, 2.5),
        dp.UnsupportedDpEvent(),
    ],
)
def test_an_event_that_cannot_be_accounted_is_refused(event: dp.DpEvent) -> None:
    """A negative count would give privacy back; NaN would cost nothing."""
    with pytest.raises(PrivacyError):
        merged(event)


def test_without_sampling_the_bare_releases_remain() -> None:
    """All three forms of one Gaussian are the same release to who knows the draw."""
    history = dp.ComposedDpEvent([GAUSSIAN, SAMPLED, TRUNCATED, dp.NonPrivateDpEvent()])
    assert without_sampling(merged(history)) == ((GAUSSIAN, 3), (dp.NonPrivateDpEvent(), 1))
