"""Integer noise is accounted by what is proven of it, and never for less than a Gaussian."""

import math

import numpy as np
import pytest
from dp_accounting import dp_event as dp

from shared.dp.accounting import epsilon_of
from shared.dp.curves import ORDERS, renyi_curve
from shared.dp.events import event_from_json, event_to_json
from shared.dp.groups import group_epsilon
from shared.dp.integer_event import IntegerNoiseDpEvent, continuous
from shared.dp.mechanisms import Adjacency
from shared.dp.profile import PrivacyProfile
from shared.errors import PrivacyError

ADD, ZERO = Adjacency.ADD_OR_REMOVE_ONE, Adjacency.ZERO_OUT
BARE = IntegerNoiseDpEvent(1.5)
SAMPLED = dp.PoissonSampledDpEvent(0.2, IntegerNoiseDpEvent(1.5))


@pytest.mark.parametrize("event", [BARE, SAMPLED])
@pytest.mark.parametrize("adjacency", [ADD, ZERO])
def test_divergences_are_a_gaussians_at_whole_orders(event: dp.DpEvent, adjacency: str) -> None:
    """And between them that of the next whole one; so none falls with the order."""
    adjacency = Adjacency(adjacency)
    curve, reference = (renyi_curve(e, adjacency) for e in (event, continuous(event)))
    assert curve is not None
    assert reference is not None
    whole = dict(zip(ORDERS, reference, strict=True))
    for order, found in zip(ORDERS, curve, strict=True):
        assert found == whole[math.ceil(order)]
    assert all(np.diff(curve) >= -1e-12)


@pytest.mark.parametrize("event", [BARE, SAMPLED])
@pytest.mark.parametrize("count", [1, 60])
def test_epsilon_is_renyis_and_above_that_of_continuous_noise(
    event: dp.DpEvent, count: int
) -> None:
    """No distribution of it is known, so none is claimed; the continuous one stands beside it."""
    found = epsilon_of(dp.SelfComposedDpEvent(event, count), 1e-5, ADD)
    reference = epsilon_of(dp.SelfComposedDpEvent(continuous(event), count), 1e-5, ADD)
    assert found.method == "rdp"
    assert found.agree
    assert found.rdp is not None
    assert found.epsilon >= found.rdp > found.pld
    assert reference.epsilon < found.epsilon < 1.3 * reference.epsilon


def test_other_steps_beside_it_are_counted_in() -> None:
    """A query with continuous noise, say; and a release without any makes it infinite."""
    both = dp.ComposedDpEvent([SAMPLED, dp.GaussianDpEvent(10.0)])
    assert epsilon_of(both, 1e-5, ADD).epsilon > epsilon_of(SAMPLED, 1e-5, ADD).epsilon
    bare = dp.ComposedDpEvent([SAMPLED, IntegerNoiseDpEvent(0.0)])
    assert math.isinf(epsilon_of(bare, 1e-5, ADD).epsilon)


def test_what_is_not_known_is_refused() -> None:
    """Replace-one; and steps without Rényi bounds in one history with it."""
    with pytest.raises(PrivacyError, match="replace-one"):
        epsilon_of(BARE, 1e-5, Adjacency.REPLACE_ONE)
    truncated = dp.TruncatedSubsampledGaussianDpEvent(100, 0.1, 20, 1.0)
    with pytest.raises(PrivacyError, match="Rényi"):
        epsilon_of(dp.ComposedDpEvent([truncated, BARE]), 1e-5, ADD)
    assert renyi_curve(dp.PoissonSampledDpEvent(0.1, BARE), Adjacency.REPLACE_ONE) is None


@pytest.mark.parametrize("event", [BARE, SAMPLED])
def test_it_is_written_and_read(event: dp.DpEvent) -> None:
    """As other events."""
    assert event_from_json(event_to_json(event)) == event


def test_a_profile_is_bounded_by_renyi_alone() -> None:
    """Never below that of continuous noise."""
    places = np.linspace(0.0, 5.0, 20)
    found = PrivacyProfile(SAMPLED, 2.0, ADD)
    reference = PrivacyProfile(continuous(SAMPLED), 2.0, ADD)
    assert (found.delta_at(places) >= reference.delta_at(places)).all()
    assert found.mu is None
    assert found.rho is None


def test_a_group_is_as_many_times_as_sensitive() -> None:
    """Sampled, it is drawn where any of it is: 1 - 0.8³ for three; never more than unsampled."""
    whole = epsilon_of(IntegerNoiseDpEvent(0.5), 1e-5, ADD).epsilon
    assert group_epsilon(BARE, 3, 1e-5) == whole
    drawn = dp.PoissonSampledDpEvent(1.0 - 0.8**3, IntegerNoiseDpEvent(0.5))
    assert group_epsilon(SAMPLED, 3, 1e-5) == epsilon_of(drawn, 1e-5, ADD).epsilon < whole
    assert group_epsilon(SAMPLED, 1, 1e-5) == epsilon_of(SAMPLED, 1e-5, ADD).epsilon
