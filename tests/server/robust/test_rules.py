"""Every rule: as its paper writes it, the same in any order, and not to be steered by f of n."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from server.robust import kept as kept_module
from server.robust.choice import Robust
from server.robust.kept import Kept, Vector
from server.robust.krum import bulyan, krum, multi_krum
from tests.server.robust import slow_rules

FALSE = 2
COUNT = 4 * FALSE + 3  # enough for Bulyan
SELECTING = {"krum": krum, "multi_krum": multi_krum, "bulyan": bulyan}
numbers = st.floats(-100.0, 100.0, width=32)
matrices = npst.arrays(np.float32, st.tuples(st.just(COUNT), st.integers(1, 6)), elements=numbers)
Matrix = NDArray[np.float32]


def combined(rule: str, rows: Matrix, *, bound: float = 0.0, false: int = FALSE) -> Vector:
    """What the rule makes of these updates, of which `false` may be false."""
    return Robust(rule, float(false), bound, 3).combine(Kept(list(rows)), len(rows))


def near(found: Vector, wanted: object, scale: float = 100.0) -> bool:
    """But for rounding."""
    return bool(np.allclose(found, np.asarray(wanted), rtol=1e-9, atol=1e-9 * scale))


@pytest.mark.parametrize("rule", slow_rules.RULES)
@given(rows=matrices)
def test_a_rule_is_that_of_its_paper(rule: str, rows: Matrix) -> None:
    """Against lists and loops; where two scores tie, either choice is the paper's."""
    points = [[float(value) for value in row] for row in rows]
    if rule in SELECTING and not distinct(points):
        return
    assert near(combined(rule, rows), slow_rules.RULES[rule](points, FALSE))


def distinct(points: list[list[float]]) -> bool:
    """Whether no two scores are so near that rounding decides, in any selection of Bulyan's."""
    left = list(points)
    while len(left) > FALSE + 2:
        found = slow_rules.scores(left, FALSE)
        ranked = sorted(found)
        if any(b - a <= 1e-6 * (1.0 + b) for a, b in itertools.pairwise(ranked)):
            return False
        left.pop(found.index(min(found)))
    return True


@pytest.mark.parametrize("rule", ["centred_clipping", "norm_bound"])
@given(rows=matrices, bound=st.floats(0.1, 200.0))
def test_a_length_that_is_given_is_the_one_to_which_they_cut(
    rule: str, rows: Matrix, bound: float
) -> None:
    """Not the round's median."""
    points = [[float(value) for value in row] for row in rows]
    slow = {"centred_clipping": slow_rules.centred_clipping, "norm_bound": slow_rules.norm_bound}
    assert near(combined(rule, rows, bound=bound), slow[rule](points, FALSE, bound))


@pytest.mark.parametrize("rule", slow_rules.RULES)
@given(row=npst.arrays(np.float32, st.integers(1, 6), elements=numbers))
def test_if_all_say_the_same_that_is_the_result(rule: str, row: Matrix) -> None:
    """To the last bits."""
    assert near(combined(rule, np.tile(row, (COUNT, 1))), row)


@pytest.mark.parametrize("rule", slow_rules.RULES)
@given(rows=matrices, seed=st.integers(0, 2**32 - 1))
def test_the_order_of_clients_changes_nothing(rule: str, rows: Matrix, seed: int) -> None:
    """But the last bits of sums; where scores tie, the first in order is taken."""
    if rule in SELECTING and not distinct([[float(v) for v in row] for row in rows]):
        return
    other = np.random.default_rng(seed).permutation(rows)
    assert near(combined(rule, rows), combined(rule, other))


evil = st.one_of(numbers, st.sampled_from([3e38, -3e38, 1e30, -1e30, 1e-45, -0.0]))


@pytest.mark.parametrize("rule", slow_rules.RULES)
@given(
    honest=npst.arrays(np.float32, (COUNT - FALSE, 3), elements=numbers),
    false=npst.arrays(np.float32, (FALSE, 3), elements=evil),
    again=st.booleans(),
)
def test_f_false_updates_move_the_result_no_further_than_the_honest_spread(
    rule: str, honest: Matrix, false: Matrix, again: bool
) -> None:
    """Whatever they are, together or apart; a bound for each rule, from the honest ones alone."""
    if again:
        false[1:] = false[:1]
    found = combined(rule, np.concatenate([honest, false]))
    assert np.isfinite(found).all()
    rows = honest.astype(np.float64)
    centre = rows.mean(0)
    spread = float(np.linalg.norm(rows - centre, axis=1).max())
    away = float(np.linalg.norm(found - centre))
    if rule in {"median", "trimmed_mean", "bulyan"}:
        # In each coordinate within the honest values.
        assert (found >= rows.min(0) - 1e-3).all()
        assert (found <= rows.max(0) + 1e-3).all()
    elif rule in {"krum", "multi_krum"}:
        # A chosen one has n - f - 2 near ones, so at least n - 2f - 2 honest ones: its score is
        # not above an honest one's, which is at most (n - f - 2)(2·spread)².
        near_ones = COUNT - FALSE - 2
        reach = 2.0 * spread * np.sqrt(near_ones / (COUNT - 2 * FALSE - 2))
        assert away <= (reach + spread) * 1.001 + 1e-3
    elif rule == "norm_bound":
        # Each false one has at most the median length, which is an honest one's at most.
        longest = float(np.linalg.norm(rows, axis=1).max())
        assert away <= longest * 2.0 + 1e-3
    else:
        # Three steps, each at most the median distance, which is an honest one's at most.
        assert away <= 60.0 * spread + 1e-3


def test_the_plain_mean_is_moved_as_far_as_anybody_likes() -> None:
    """What the test above would find: it can fail."""
    rows = np.zeros((COUNT, 3), dtype=np.float32)
    rows[0] = 3e38
    assert np.abs(rows.astype(np.float64).mean(0)).max() > 1e37
    for rule in slow_rules.RULES:
        assert np.abs(combined(rule, rows)).max() < 1e-6


def test_more_false_ones_than_that_do_move_it() -> None:
    """The bound is one: with more than half nothing helps."""
    rows = np.zeros((COUNT, 1), dtype=np.float32)
    rows[: COUNT // 2 + 1] = 50.0
    for rule in ("median", "krum", "multi_krum", "bulyan", "centred_clipping"):
        assert combined(rule, rows)[0] > 40.0, rule


def test_distances_of_honest_ones_survive_huge_ones() -> None:
    """By squares and products, ‖x‖² + ‖y‖² − 2·x·y, centred or not, they would be lost."""
    rows = np.array([[1.0, 0.0], [2.0, 0.0], [1e30, 1e30], [-3e38, 0.0]], dtype=np.float32)
    found = Kept(list(rows)).squared_distances()
    assert found[0, 1] == 1.0
    assert np.isfinite(found).all()
    huge = rows.astype(np.float64)
    squares = np.square(huge - huge.mean(0)).sum(1)
    products = (huge - huge.mean(0)) @ (huge - huge.mean(0)).T
    assert (squares[:, None] + squares - 2 * products)[0, 1] != 1.0


@pytest.mark.parametrize("rule", slow_rules.RULES)
def test_the_size_of_a_block_changes_nothing(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of many blocks is combined as one of a single block."""
    rows = np.random.default_rng(1).normal(size=(COUNT, 50)).astype(np.float32)
    whole = combined(rule, rows)
    for size in (1, 7 * COUNT, 49 * COUNT):
        monkeypatch.setattr(kept_module, "BLOCK_NUMBERS", size)
        assert near(combined(rule, rows), whole, 1.0)


def test_the_updates_themselves_are_not_changed_or_copied() -> None:
    """They lie in the messages, read-only."""
    rows = np.random.default_rng(1).normal(size=(COUNT, 5)).astype(np.float32)
    before = rows.copy()
    rows.flags.writeable = False
    for rule in slow_rules.RULES:
        combined(rule, rows)
    assert (rows == before).all()
