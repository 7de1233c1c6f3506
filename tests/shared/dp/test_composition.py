"""Composing a step with itself gives the library's numbers, whatever was composed before."""

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld
from dp_accounting.pld.pld_pmf import DensePLDPmf, PLDPmf
from scipy import fft

from shared.dp import composition
from shared.dp.composition import self_composed

STEPS = {
    "sampled": pld.from_gaussian_mechanism(
        1.0, sampling_prob=0.02, value_discretization_interval=1e-3
    ),
    "not sampled": pld.from_gaussian_mechanism(3.0, value_discretization_interval=1e-2),
    "truncated": pld.from_truncated_subsampled_gaussian_mechanism(
        500, 0.02, 30, 1.2, value_discretization_interval=1e-2
    ),
    "of few losses": pld.from_randomized_response(0.4, 2, value_discretization_interval=1e-2),
}


def parts(found: PLDPmf) -> tuple[list[float], tuple[object, ...]]:
    """Masses, and all else."""
    dense = found.to_dense_pmf()
    rest = (
        dense._lower_loss, dense._infinity_mass, dense._discretization, dense._pessimistic_estimate
    )  # fmt: skip
    return np.asarray(dense._probs).tolist(), rest


@pytest.mark.parametrize("name", STEPS)
def test_it_is_the_librarys_composition_bit_for_bit(name: str) -> None:
    """In both directions, also with what was kept of a composition before."""
    step = STEPS[name]
    for count in (1, 2, 7, 60, 7):
        found, expected = self_composed(step, count), step.self_compose(count)
        assert found._symmetric == expected._symmetric
        for own, other in (
            (found._pmf_remove, expected._pmf_remove),
            (found._pmf_add, expected._pmf_add),
        ):
            assert type(own) is type(other)
            assert parts(own) == parts(other)


def test_a_planted_bound_that_cuts_too_much_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The masses are others then."""
    step = STEPS["sampled"]
    assert isinstance(step._pmf_remove, DensePLDPmf)
    monkeypatch.setattr(composition, "_CUT", 1e-3)
    found, expected = self_composed(step, 60), step.self_compose(60)
    assert parts(found._pmf_remove) != parts(expected._pmf_remove)


def test_moments_are_kept_for_as_long_as_their_step() -> None:
    """And no longer: a step may hold millions of numbers."""
    step = pld.from_gaussian_mechanism(0.9, value_discretization_interval=1e-3)
    self_composed(step, 2)
    self_composed(step, 3)
    mine = step._pmf_remove
    assert mine in composition._KEPT
    gone = weakref.ref(mine)
    del step, mine
    gc.collect()
    assert gone() is None


def test_tables_of_a_long_transform_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers are the same, and the sixteen tables that the library keeps are short ones."""
    step = STEPS["sampled"]
    expected = self_composed(step, 5)
    monkeypatch.setattr(composition, "_LARGE", 1000)
    lengths: list[int] = []
    forward = fft.fft

    def noted(masses: Any, *rest: Any) -> Any:
        lengths.append(rest[0] if rest else len(masses))
        return forward(masses, *rest)

    monkeypatch.setattr(fft, "fft", noted)
    found = self_composed(step, 5)
    assert parts(found._pmf_remove) == parts(expected._pmf_remove)
    assert len(set(lengths[-16:])) == 16
    assert max(lengths[-16:]) < 100 < lengths[0]
