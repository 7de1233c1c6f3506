"""Numbers as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from murmura.wording import (
    ASCII_SIGNS,
    UNICODE_SIGNS,
    bytes_text,
    duration_text,
    epsilon_text,
    loss_text,
    model_text,
    score_text,
    signs_for,
)


@given(st.floats(0.0, 1e6))
def test_a_written_epsilon_never_promises_more_than_was_computed(epsilon: float) -> None:
    """Rounded up, but for the representation's 10⁻⁹."""
    assert float(epsilon_text(epsilon)) >= epsilon - 1e-9


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8.0, "8.00"),
        (7.421, "7.43"),
        (100.2, "101"),
        ("inf", "inf"),
        (math.inf, "inf"),
        (None, "-"),
    ],
)
def test_epsilon_is_written_with_three_digits(value: float | str | None, text: str) -> None:
    """Known answers; JSON's "inf" is infinite, nothing is a dash."""
    assert epsilon_text(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7830, "2 h 10 min"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float, text: str) -> None:
    """Known answers at the borders."""
    assert duration_text(seconds) == text


def test_a_missing_score_is_a_dash_and_never_a_zero() -> None:
    """A round without evaluation has no accuracy; that is not an accuracy of 0."""
    assert (score_text(None), loss_text(None)) == ("-", "-")
    assert (score_text(0.0), loss_text(0.0)) == ("0.0 %", "0.000")


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-16"])
def test_unicode_signs_are_used_where_the_output_can_show_them(encoding: str) -> None:
    """Any spelling of a Unicode encoding."""
    assert signs_for(encoding) is UNICODE_SIGNS


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_every_ascii_sign_survives_a_poorer_encoding(encoding: str) -> None:
    """Nothing to be replaced by a question mark."""
    signs = signs_for(encoding)
    assert signs is ASCII_SIGNS
    assert all(getattr(signs, name).isascii() for name in signs.__slots__)


def test_a_model_without_a_name_is_the_default_one() -> None:
    """No gap is left where the name would be."""
    assert (model_text("cnn"), model_text("")) == ("model cnn", "default model")


def test_a_loss_that_runs_away_stays_readable() -> None:
    """At most nine signs, also for what has overflowed."""
    assert [loss_text(x) for x in (0.5, 99.9, 15512.4, math.nan, math.inf)] == [
        "0.500",
        "99.900",
        "1.551e+04",
        "nan",
        "inf",
    ]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (999, "999 B"), (999.6, "1.0 kB"), (9940, "9.9 kB"), (9960, "10 kB"),
        (999_600, "1.0 MB"), (123_456_789, "123 MB"), (5e15, "5000 TB"), (None, "-"),
    ],
)  # fmt: skip
def test_bytes_are_written_in_powers_of_a_thousand(count: float | None, text: str) -> None:
    """Known answers at the borders; nothing is a dash."""
    assert bytes_text(count) == text
