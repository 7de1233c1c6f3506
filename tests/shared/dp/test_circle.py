"""Cosine and sine by the turn, against numbers of 40 digits."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from shared.dp import circle
from shared.dp.circle import on_circle
from shared.dp.randomness import SeededRandomness

ULP = 2.0**-52
PI = Decimal("3.14159265358979323846264338327950288419716939937510")
EDGES = [0.0, 2.0**-53, 2.0**-30, 0.125, 0.25, 0.25 - 2.0**-53, 0.5, 0.75, 0.75 + 2.0**-52]


def exact(turn: float) -> tuple[float, float]:
    """(cos 2πu, sin 2πu) by their series."""
    with localcontext() as context:
        context.prec = 45
        angle = 2 * PI * Decimal(turn)
        term, sums = Decimal(1), [Decimal(0), Decimal(0)]
        for order in range(80):
            sums[order % 2] += term * (-1 if order % 4 > 1 else 1)
            term = term * angle / (order + 1)
        return float(sums[0]), float(sums[1])


def test_it_is_as_near_to_the_truth_as_a_float_can_be() -> None:
    """Random turns and the edges of half turns: within two units of the last place of 1."""
    turns = np.append(SeededRandomness(3).stream("test").uniform(2000), [*EDGES, 1.0 - 2.0**-53])
    found = np.stack(on_circle(turns, np.ones(len(turns))), axis=1)
    assert np.abs(found - [exact(float(turn)) for turn in turns]).max() <= 2.0 * ULP


def test_it_is_no_further_from_it_than_numpy() -> None:
    """In the mean, and at the furthest."""
    turns = SeededRandomness(4).stream("test").uniform(2000)
    truth = np.array([exact(float(turn)) for turn in turns])
    ours = np.abs(np.stack(on_circle(turns, np.ones(len(turns))), axis=1) - truth)
    angle = 2.0 * np.pi * turns
    theirs = np.abs(np.stack([np.cos(angle), np.sin(angle)], axis=1) - truth)
    assert ours.mean() <= theirs.mean()
    assert ours.max() <= theirs.max()


def test_a_small_turn_keeps_its_sine() -> None:
    """In proportion, down to the smallest that a stream gives."""
    turns = np.array([2.0**-53, 2.0**-40, 3.0 * 2.0**-53])
    _, sine = on_circle(turns, np.ones(3))
    assert sine == pytest.approx(2.0 * math.pi * turns, rel=4.0 * ULP)


def test_the_radius_scales_both() -> None:
    """By whatever it is, zero too."""
    turns, radius = np.array([0.1, 0.4, 0.9]), np.array([0.0, 3.0, 0.5])
    one, scaled = on_circle(turns, np.ones(3)), on_circle(turns, radius)
    assert scaled[0] == pytest.approx(one[0] * radius, rel=4.0 * ULP)
    assert scaled[1] == pytest.approx(one[1] * radius, rel=4.0 * ULP)


def test_a_planted_digit_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """One coefficient wrong in the sixth place."""
    monkeypatch.setattr(circle, "_SINE", (-0.16666666, *circle._SINE[1:]))
    turns = SeededRandomness(3).stream("test").uniform(2000)
    found = np.stack(on_circle(turns, np.ones(len(turns))), axis=1)
    assert np.abs(found - [exact(float(turn)) for turn in turns]).max() > 2.0 * ULP
