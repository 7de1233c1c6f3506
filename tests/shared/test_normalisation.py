"""Normalisation: statistics are found, any noisy sums give a valid one, applying undoes them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from shared.errors import ConfigurationError, MessageError
from shared.normalisation import Normalisation, statistics_rows
from shared.task import Examples


def images(count: int = 200, channels: int = 2) -> torch.Tensor:
    """Channel i is uniform on [10 i, 10 i + 4]."""
    generator = torch.Generator().manual_seed(0)
    noise = 4.0 * torch.rand(count, channels, 5, 5, generator=generator)
    return noise + 10.0 * torch.arange(channels).view(1, -1, 1, 1)


def test_without_noise_mean_and_deviation_are_found() -> None:
    """Per channel, from the sums that sites send."""
    rows = statistics_rows(images(), 2, 0.0, 20.0)
    found = Normalisation.from_sums(rows.sum(0), 0.0, 20.0)
    assert found.mean == pytest.approx((2.0, 12.0), abs=0.1)
    assert found.stddev == pytest.approx((4 / math.sqrt(12), 4 / math.sqrt(12)), abs=0.1)


@pytest.mark.parametrize("channels", [1, 2])
def test_normalised_inputs_have_mean_zero_and_deviation_one(channels: int) -> None:
    """Targets and further inputs stay as they are."""
    inputs = images()
    rows = statistics_rows(inputs, channels, 0.0, 20.0)
    extra, targets = torch.ones(200, 1), torch.arange(200)
    normalised = Normalisation.from_sums(rows.sum(0), 0.0, 20.0).apply(
        Examples((inputs, extra), targets)
    )
    flat = normalised.inputs[0].reshape(200, channels, -1)
    assert flat.mean((0, 2)).abs().max() < 1e-4
    assert (flat.std((0, 2)) - 1).abs().max() < 1e-3
    assert normalised.inputs[1] is extra
    assert normalised.targets is targets


@given(npst.arrays(np.float64, 5, elements=st.floats(-1e6, 1e6)))
def test_any_noisy_sums_give_a_valid_normalisation(sums: np.ndarray) -> None:
    """Finite, with positive deviations inside the range, even where noise drowned the count."""
    found = Normalisation.from_sums(sums, -1.0, 3.0)
    assert all(-1.0 <= mean <= 3.0 for mean in found.mean)
    assert all(0.0 < stddev <= 2.0 for stddev in found.stddev)
    again = Normalisation.from_vector(found.vector())
    assert again is not None
    assert again.mean == pytest.approx(found.mean, rel=1e-6)


def test_rows_are_bounded_whatever_the_inputs_hold() -> None:
    """NaN, infinity and what is outside the public range cannot reach further than its ends."""
    wild = torch.tensor([[math.nan, math.inf], [-math.inf, 99.0], [0.5, -7.0]])
    rows = statistics_rows(wild, 2, 0.0, 1.0)
    assert rows.shape == (3, 5)
    assert ((rows >= 0) & (rows <= 1)).all()


def test_no_numbers_are_no_normalisation() -> None:
    """That is how a run without statistics travels."""
    assert Normalisation.from_vector(np.zeros(0, np.float32)) is None


@pytest.mark.parametrize("vector", [[1.0], [0.0, 0.0], [0.0, -1.0], [math.nan, 1.0]])
def test_a_vector_of_another_form_is_refused(vector: list[float]) -> None:
    """A deviation that is not positive would divide by zero at the site."""
    with pytest.raises(MessageError, match="standard deviations"):
        Normalisation.from_vector(np.array(vector, np.float32))


def test_inputs_that_do_not_fit_are_refused() -> None:
    """Whole numbers are names, not amounts; channels are the second axis."""
    with pytest.raises(ConfigurationError, match="fractions"):
        statistics_rows(torch.zeros(3, 2, dtype=torch.int64), 1, 0.0, 1.0)
    for shape in [(3,), (3, 4)]:
        with pytest.raises(ConfigurationError, match="second axis"):
            statistics_rows(torch.zeros(shape), 2, 0.0, 1.0)
