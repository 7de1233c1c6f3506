"""Streams: the cipher is ChaCha20, labels separate, distributions are right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from shared.dp.noise import gaussian_noise
from shared.dp.randomness import (
    OperatingSystemRandomness,
    RandomStream,
    SeededRandomness,
    randomness_for,
)
from shared.errors import ConfigurationError
from tests.significance import ALPHA, NOISE_SAMPLES, has_rate, is_normal
from tests.strategies import seeds

labels = st.lists(st.one_of(st.integers(0, 99), st.text(max_size=4)), max_size=4)


def test_the_keystream_is_that_of_rfc_8439() -> None:
    """Appendix A.1, test vector 1: zero key, zero nonce, block 0."""
    expected = bytes.fromhex(
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
    )
    assert RandomStream(bytes(32)).take(64) == expected


@pytest.mark.parametrize("length", [0, 16, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    """256 bits, no less."""
    with pytest.raises(ConfigurationError, match="32 bytes"):
        RandomStream(bytes(length))


@given(seeds, labels)
def test_the_same_labels_give_the_same_stream(seed: int, parts: list[int | str]) -> None:
    """In any process, whatever was drawn before: that is what resume rests on."""
    first = SeededRandomness(seed).stream("purpose", *parts).take(32)
    other = SeededRandomness(seed)
    other.stream("something else", 1).take(999)
    assert other.stream("purpose", *parts).take(32) == first


@given(seeds, labels, labels)
def test_other_labels_give_another_stream(
    seed: int, one: list[int | str], other: list[int | str]
) -> None:
    """No two sequences of labels collide: ("a", "b") is not ("ab",), and 1 is not "1"."""
    randomness = SeededRandomness(seed)
    same = [(type(x), x) for x in one] == [(type(x), x) for x in other]
    streams = [randomness.stream("p", *parts).take(16) for parts in (one, other)]
    assert (streams[0] == streams[1]) == same


def test_the_operating_system_never_repeats_a_stream() -> None:
    """Labels do not matter; two streams differ."""
    randomness = OperatingSystemRandomness()
    assert randomness.stream("p", 1).take(32) != randomness.stream("p", 1).take(32)


def test_a_configuration_chooses_the_randomness_and_the_report_can_tell() -> None:
    """Randomness of the operating system is secret, that of a number is not."""
    assert (randomness_for("os").seeded, randomness_for("os").policy) == (False, "os_csprng")
    assert (randomness_for(3).seeded, randomness_for(3).policy) == (True, "seeded_simulation")
    with pytest.raises(ConfigurationError, match="'3'"):
        randomness_for("3")


def test_a_label_is_the_same_number_of_whatever_library() -> None:
    """numpy's 3 is 3, not "3"; a fraction is no label."""
    randomness = SeededRandomness(1)
    assert randomness.stream("p", np.int64(3)).take(8) == randomness.stream("p", 3).take(8)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        randomness.stream("p", 3.5)  # type: ignore[arg-type]


def test_nothing_prints_a_key_or_a_seed() -> None:
    """`repr` shows the class alone."""
    assert repr(RandomStream(bytes(32))) == "RandomStream()"
    assert "77" not in repr(SeededRandomness(77))


@pytest.mark.statistical
@pytest.mark.parametrize("count", [NOISE_SAMPLES, NOISE_SAMPLES + 1, 100_001])
def test_gaussian_numbers_are_standard_normal(count: int) -> None:
    """Variance and shape; odd counts and several chunks too."""
    values = SeededRandomness(1).stream("test", count).gaussian(count)
    assert values.shape == (count,)
    assert is_normal(values, 1.0)
    half = count // 2
    assert abs(np.corrcoef(values[:half], values[half : 2 * half])[0, 1]) < 6 / np.sqrt(half)


def draw(stddev: float) -> NDArray[np.float64]:
    """Noise of one stream."""
    return gaussian_noise(NOISE_SAMPLES, stddev, stream=SeededRandomness(2).stream("noise"))


@pytest.mark.statistical
@pytest.mark.parametrize("stddev", [0.01, 1.22, 300.0])
def test_noise_has_the_asked_standard_deviation(stddev: float) -> None:
    """σ is the standard deviation, not the variance."""
    assert is_normal(draw(stddev), stddev)


@pytest.mark.statistical
@pytest.mark.parametrize(
    "planted",
    [1.22**2, 1.22 / np.sqrt(20), 1.22 * 0.95, 0.61],
    ids=["variance for stddev", "divided by sqrt(n)", "5 % less", "half"],
)
def test_wrongly_scaled_noise_would_be_noticed(planted: float) -> None:
    """The test above rejects each planted bug."""
    assert not is_normal(draw(planted), 1.22)


@pytest.mark.parametrize("stddev", [0.0, -1.0, np.nan, np.inf])
def test_no_noise_is_refused(stddev: float) -> None:
    """σ = 0 would be no privacy."""
    with pytest.raises(ConfigurationError, match="stddev"):
        gaussian_noise(3, stddev, stream=SeededRandomness(0).stream("noise"))


@given(seeds, st.integers(0, 200))
def test_a_permutation_is_an_order_of_all(seed: int, count: int) -> None:
    """Nothing lost, nothing twice."""
    order = SeededRandomness(seed).stream("shuffle").permutation(count)
    assert sorted(order.tolist()) == list(range(count))


@pytest.mark.statistical
def test_every_place_of_a_permutation_is_as_likely_as_any_other() -> None:
    """Element 0 comes first in one of three permutations of three."""
    stream = SeededRandomness(3).stream("shuffle")
    first = sum(stream.permutation(3)[0] == 0 for _ in range(6000))
    assert has_rate(first, 6000, 1 / 3)


def test_equal_sorting_keys_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two equal keys would leave the order as it came."""
    keys = [np.array([5, 5, 1], np.uint64), np.array([2, 9, 1], np.uint64)]
    monkeypatch.setattr(RandomStream, "words", lambda _self, _count: keys.pop(0))
    assert RandomStream(bytes(32)).permutation(3).tolist() == [2, 0, 1]


def test_uniform_numbers_and_integers_are_in_range() -> None:
    """[0, 1) and [0, 2⁶³)."""
    stream = SeededRandomness(4).stream("u")
    values = stream.uniform(10_000)
    assert 0.0 <= values.min() < 0.01
    assert 0.99 < values.max() < 1.0
    assert all(0 <= stream.integer() < 2**63 for _ in range(100))


def test_thresholds_are_uniform_multiples_of_a_small_step() -> None:
    """Of 2⁻³², in [0, 1); the test rejects steps so coarse that rounding would be biased."""
    values = SeededRandomness(5).stream("t").thresholds(20_000)
    scaled = values * 2.0**32
    assert (scaled == np.floor(scaled)).all()
    assert stats.kstest(values, "uniform").pvalue > ALPHA
    assert stats.kstest(np.floor(values * 16) / 16, "uniform").pvalue < ALPHA
