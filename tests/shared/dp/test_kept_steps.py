"""Distributions of steps are worked out once; fine ones do not fill the memory."""

from dp_accounting import dp_event as dp

from shared.dp.kept_steps import step_distribution
from shared.dp.mechanisms import Adjacency

ADJACENCY = Adjacency.ADD_OR_REMOVE_ONE


def test_it_is_worked_out_once() -> None:
    """A run asks for it after every round."""
    part = dp.PoissonSampledDpEvent(0.01, dp.GaussianDpEvent(1.5))
    first = step_distribution(part, ADJACENCY, 1e-3)
    assert step_distribution(part, ADJACENCY, 1e-3) is first
    assert step_distribution(part, ADJACENCY, 2e-3) is not first


def test_of_fine_ones_three_are_kept() -> None:
    """Each holds up to millions of numbers; of coarse ones sixteen are."""
    parts = [dp.PoissonSampledDpEvent(0.001, dp.GaussianDpEvent(8.0 + n)) for n in range(4)]
    fine = [step_distribution(part, ADJACENCY, 5e-5) for part in parts]
    assert step_distribution(parts[-1], ADJACENCY, 5e-5) is fine[-1]
    assert step_distribution(parts[0], ADJACENCY, 5e-5) is not fine[0]
    coarse = [step_distribution(part, ADJACENCY, 1e-4) for part in parts]
    assert step_distribution(parts[0], ADJACENCY, 1e-4) is coarse[0]
