"""chrF: from none alike to the same, and a number counted by hand."""

import pytest

from shared.tasks.chrf import chrf


def test_the_same_is_one_and_nothing_alike_is_none() -> None:
    """Whatever the spaces; of empty texts nothing is alike."""
    assert chrf(["Save the file"], ["Savethe file"]) == 1.0
    assert chrf(["abc"], ["xyz"]) == 0.0
    assert chrf([""], ["xyz"]) == 0.0
    assert chrf([], []) == 0.0


def test_it_is_what_a_hand_counts() -> None:
    """Of "abcd" for "abd": runs of one 3 of 4 and of 3, of two 1 of 3 and of 2, of three none."""
    precision, recall = (3 / 4 + 1 / 3) / 3, (1 + 1 / 2) / 3
    expected = 5 * precision * recall / (4 * precision + recall)
    assert chrf(["abcd"], ["abd"]) == pytest.approx(expected)


def test_texts_are_counted_together() -> None:
    """A run is found in its own text alone."""
    assert chrf(["ab", "cd"], ["cd", "ab"]) == 0.0
    assert 0.0 < chrf(["ab", "cd"], ["ab", "xy"]) < 1.0
