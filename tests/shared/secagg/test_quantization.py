"""Rounding is unbiased, bounded and undone; the rotation keeps every norm."""

import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats

from shared.dp.randomness import RandomStream
from shared.errors import ConfigurationError, ProtocolError
from shared.secagg.quantization import Quantizer, _hadamard
from tests.significance import ALPHA


def quantizer(dimension: int, scale: float = 1e4, clipping_norm: float = 1.0) -> Quantizer:
    """With a rotation of its own."""
    return Quantizer(
        clipping_norm=clipping_norm, scale=scale, dimension=dimension, rotation=os.urandom(32)
    )


def fresh() -> RandomStream:
    """Of the operating system."""
    return RandomStream(os.urandom(32))


def vector(dimension: int, norm: float, seed: int) -> np.ndarray:
    """Of exactly this norm but for rounding."""
    drawn = np.random.default_rng(seed).standard_normal(dimension)
    return drawn * (norm / np.linalg.norm(drawn))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.floats(0.01, 1e5), st.floats(0.0, 5.0), st.integers(0, 99))
def test_no_vector_exceeds_the_sensitivity(
    dimension: int, scale: float, norm: float, seed: int
) -> None:
    """At any scale, very coarse ones too, where all numbers are rounded to -1, 0 and 1."""
    made = quantizer(dimension, scale, clipping_norm=5.0)
    whole = made.quantize(vector(dimension, norm, seed), fresh())
    assert np.linalg.norm(whole.astype(float)) <= made.sensitivity * (1 + 1e-12)
    assert made.sensitivity > 5.0 * scale
    assert whole.shape == (made.padded,)


def test_the_sensitivity_is_that_of_the_paper() -> None:
    """Proposition 22 with β = e^-½, by hand: d = 16, scale · C = 3."""
    found = quantizer(16, scale=3.0).sensitivity
    assert found == pytest.approx(min(3 + 4, math.sqrt(9 + 4 + 1.0 * (3 + 2))))
    assert quantizer(16, scale=1e9).sensitivity == pytest.approx(1e9, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 200), st.integers(1, 9), st.integers(0, 99))
def test_a_sum_comes_back_within_the_rounding(dimension: int, clients: int, seed: int) -> None:
    """Each client adds less than one unit a number, in the turned vector."""
    made = quantizer(dimension)
    vectors = [vector(dimension, 0.9, seed + number) for number in range(clients)]
    total = np.stack([made.quantize(part, fresh()) for part in vectors]).sum(axis=0)
    error = np.linalg.norm(made.restore(total) - np.sum(vectors, axis=0))
    assert error <= clients * math.sqrt(made.padded) / made.scale


@pytest.mark.no_cover
def test_rounding_has_no_bias() -> None:
    """The mean of many coarse roundings is the vector; always rounding to the nearest is found."""
    made, true, times = quantizer(8, scale=1.3), vector(8, 0.7, 1), 40_000
    stream = fresh()
    summed = np.zeros(made.padded, dtype=np.int64)
    for _ in range(times):
        summed += made.quantize(true, stream)
    # 0.05 is 25 standard errors: room for what throwing roundings away moves the mean by.
    assert np.abs(made.restore(summed) / times - true).max() < 0.05
    nearest = made.restore(np.rint(made.scale * _hadamard(true * made._signs())).astype(np.int64))
    assert np.abs(nearest - true).max() > 0.05


def test_the_transform_is_orthonormal_and_its_own_inverse() -> None:
    """It is the matrix of Hadamard; a turned spike is flat."""
    for size in (1, 2, 8, 64):
        columns = np.stack([_hadamard(row) for row in np.eye(size)])
        assert np.allclose(columns, linalg.hadamard(size) / math.sqrt(size))
    spike = np.zeros(1 << 12)
    spike[7] = 1.0
    made = quantizer(len(spike), scale=64.0 * 100)
    whole = made.quantize(spike, fresh())
    assert set(np.abs(whole)) <= {99, 100, 101}


def test_signs_are_fair_and_of_the_round() -> None:
    """Another key turns another way."""
    one, other = quantizer(1 << 16)._signs(), quantizer(1 << 16)._signs()
    assert set(one) == {-1.0, 1.0}
    assert stats.binomtest(int((one > 0).sum()), len(one)).pvalue > ALPHA
    assert stats.binomtest(int((one == other).sum()), len(one)).pvalue > ALPHA


@pytest.mark.parametrize("bad", ["bad_nan", "bad_infinite", "bad_norm", "bad_length", "bad_matrix"])
def test_what_was_not_clipped_is_refused(bad: str) -> None:
    """Nothing that is above the clip, or is no number, is ever quantized."""
    values = {
        "bad_nan": np.array([0.1, np.nan, 0.0]),
        "bad_infinite": np.array([0.1, np.inf, 0.0]),
        "bad_norm": np.array([1.0, 0.01, 0.0]),
        "bad_length": np.zeros(4),
        "bad_matrix": np.zeros((3, 1)),
    }[bad]
    with pytest.raises(ProtocolError, match="norm at most the clip"):
        quantizer(3).quantize(values, fresh())


@pytest.mark.parametrize("changed", [{"scale": 0.0}, {"scale": math.inf}, {"clipping_norm": -1.0}])
def test_a_scale_that_is_none_is_refused(changed: dict[str, float]) -> None:
    """Zero would send nothing, infinity no number."""
    with pytest.raises(ConfigurationError, match="above 0"):
        quantizer(3, **changed)


def test_a_rounding_that_never_fits_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused rather than sent above the sensitivity."""
    monkeypatch.setattr(Quantizer, "sensitivity", 0.0)
    with pytest.raises(ProtocolError, match="tries"):
        quantizer(2).quantize(np.array([0.5, 0.5]), fresh())
