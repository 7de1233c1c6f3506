"""Noise correlated over rounds: each round's sum gets much, every prefix of them little.

DP-FTRL in the form of a matrix mechanism: with a lower-triangular strategy C, round t's sum gets
the t-th row of C⁻¹z, z independent. All rounds together are one Gaussian mechanism of z's noise
multiplier, for any client that takes part at most k times, at least b rounds apart; no sampling is
needed for it, so none must be secret.

banded  C is the first `bands` ≤ b diagonals of the square root of the prefix-sum matrix. Columns b
        apart then do not overlap, so the sensitivity is √k times a column's norm.
tree    Row t of C sums the node of a binary tree that ends with round t and starts a prefix's last
        part: the last 2^l rounds, 2^l the largest power of two that divides t.

Source: Kairouz et al. 2021 (arXiv:2103.00039), tree aggregation; Choquette-Choo et al. 2023
(arXiv:2306.08153), theorem 2 for the sensitivity of banded matrices; Kalinin & Lampert 2024
(arXiv:2405.13763) for the banded square root; Fichtenberger et al. 2023 for its coefficients.
"""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shared.dp.clipping import Vector
from shared.dp.noise import gaussian_noise
from shared.dp.randomness import RandomStream
from shared.errors import StateError


def root_coefficients(bands: int) -> Vector:
    """First `bands` coefficients of the square root of the prefix-sum matrix: binom(2k, k)/4^k.

    >>> root_coefficients(3).tolist()
    [1.0, 0.5, 0.375]
    """
    found = np.ones(bands)
    for place in range(1, bands):
        found[place] = found[place - 1] * (2 * place - 1) / (2 * place)
    return found


def banded_sensitivity(bands: int, participations: int) -> float:
    """√k·‖c‖₂: L2 sensitivity of Cx for k participations at least `bands` rounds apart."""
    return math.sqrt(participations) * float(np.linalg.norm(root_coefficients(bands)))


def tree_sensitivity(rounds: int, participations: int, separation: int) -> float:
    """An upper bound on the L2 sensitivity of all node sums that are used over `rounds`.

    On the level of nodes of 2^l rounds, of which every other one is used, a client is in one node
    at most m = ⌈2^l/b⌉ times, and k times in all; Σ (times in a node)² is largest where the nodes
    are as full as they can be.
    """
    squared = 0
    for level in range(rounds.bit_length()):
        most = _in_a_node(level, participations, separation)
        nodes = ((rounds >> level) + 1) // 2
        full = min(participations // most, nodes)
        rest = participations - full * most if full < nodes else 0
        squared += full * most**2 + rest**2
    return math.sqrt(squared)


def tree_row_sensitivity(round_number: int, participations: int, separation: int) -> float:
    """L2 sensitivity of what round `round_number` alone releases: of one node."""
    level = (round_number & -round_number).bit_length() - 1
    return float(_in_a_node(level, participations, separation))


def _in_a_node(level: int, participations: int, separation: int) -> int:
    return min(participations, -(-(1 << level) // separation))


class CorrelatedNoise(Protocol):
    """The noise of one run, round after round; its state is a secret of the server."""

    def next(self, stream: RandomStream) -> Vector:
        """Noise of the coming round, shape (d,); `stream` is of that round alone."""

    def state(self) -> dict[str, NDArray[np.float64]]:
        """What the coming rounds need of the past ones."""

    def restore(self, state: dict[str, NDArray[np.float64]]) -> None:
        """Go on from `state`. Raises StateError if it is of another mechanism."""


class BandedNoise:
    """Rows of C⁻¹z for the banded square root: y_t = z_t - Σ_{j<bands} c_j·y_{t-j}.

    Args:
        dimension: Length d.
        stddev: Of z.
        bands: Number of diagonals.
    """

    def __init__(self, dimension: int, stddev: float, bands: int) -> None:
        self._stddev = stddev
        self._coefficients = root_coefficients(bands)
        # Row j holds y_{t-1-j}.
        self._past = np.zeros((bands - 1, dimension))

    def next(self, stream: RandomStream) -> Vector:
        """Noise of the coming round, shape (d,)."""
        fresh = gaussian_noise(self._past.shape[1], self._stddev, stream=stream)
        fresh -= self._coefficients[1:] @ self._past
        if len(self._past):
            self._past = np.roll(self._past, 1, axis=0)
            self._past[0] = fresh
        return fresh

    def state(self) -> dict[str, NDArray[np.float64]]:
        """The last rows."""
        return {"past": self._past}

    def restore(self, state: dict[str, NDArray[np.float64]]) -> None:
        """Go on from `state`."""
        if state.keys() != {"past"} or state["past"].shape != self._past.shape:
            raise StateError("the checkpoint holds noise of another mechanism")
        self._past = state["past"].copy()


class TreeNoise:
    """Differences of a binary tree's prefix noise: a new node's less those that it replaces.

    Args:
        dimension: Length d.
        stddev: Of each node.
        rounds: Number of rounds, which bounds the height.
    """

    def __init__(self, dimension: int, stddev: float, rounds: int) -> None:
        self._stddev = stddev
        self._done = 0
        # Row l is the noise of the node of 2^l rounds that the present prefix uses; else zero.
        self._nodes = np.zeros((rounds.bit_length(), dimension))

    def next(self, stream: RandomStream) -> Vector:
        """Noise of the coming round, shape (d,)."""
        self._done += 1
        level = (self._done & -self._done).bit_length() - 1
        fresh = gaussian_noise(self._nodes.shape[1], self._stddev, stream=stream)
        noise: Vector = fresh - self._nodes[:level].sum(axis=0)
        self._nodes[:level] = 0.0
        self._nodes[level] = fresh
        return noise

    def state(self) -> dict[str, NDArray[np.float64]]:
        """The nodes in use, and how many rounds there were."""
        return {"nodes": self._nodes, "done": np.array([float(self._done)])}

    def restore(self, state: dict[str, NDArray[np.float64]]) -> None:
        """Go on from `state`."""
        if state.keys() != {"nodes", "done"} or state["nodes"].shape != self._nodes.shape:
            raise StateError("the checkpoint holds noise of another mechanism")
        self._nodes, self._done = state["nodes"].copy(), int(state["done"][0])
