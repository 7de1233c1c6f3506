"""Privacy loss distributions of single steps, kept: a run asks for the same ones each round."""

from functools import lru_cache

from dp_accounting import dp_event as dp
from dp_accounting.pld import privacy_loss_distribution
from dp_accounting.pld.privacy_loss_distribution import PrivacyLossDistribution

from shared.dp.curves import RELATIONS
from shared.dp.mechanisms import Adjacency
from shared.dp.single_step import replaced_gaussian, sampled_gaussian, truncated_gaussian

_FINE = 1e-4


def step_distribution(
    part: dp.DpEvent, adjacency: Adjacency, interval: float
) -> PrivacyLossDistribution:
    """The privacy loss of one step on a grid of `interval`, never better than the truth.

    Args:
        part: A Gaussian step; sampled, truncated, or neither.
        adjacency: Of the claim.
        interval: Of the grid. Coarse ones are kept, sixteen of them; of those finer than 1e-4,
            which plans and reports alone ask for and which hold millions of numbers, three.
    """
    kept = _coarse if interval >= _FINE else _fine
    return kept(part, adjacency, interval)


def _anew(part: dp.DpEvent, adjacency: Adjacency, interval: float) -> PrivacyLossDistribution:
    if isinstance(part, dp.TruncatedSubsampledGaussianDpEvent):
        most, of = part.truncated_batch_size, part.dataset_size
        noise_multiplier, rate = part.noise_multiplier, part.sampling_probability
        return truncated_gaussian(noise_multiplier, rate, most, of, interval=interval)
    sampled = isinstance(part, dp.PoissonSampledDpEvent)
    if sampled and part.sampling_probability < 1.0:
        made = replaced_gaussian if adjacency is Adjacency.REPLACE_ONE else sampled_gaussian
        return made(part.event.noise_multiplier, part.sampling_probability, interval=interval)
    return privacy_loss_distribution.from_gaussian_mechanism(
        standard_deviation=part.event.noise_multiplier if sampled else part.noise_multiplier,
        value_discretization_interval=interval,
        sampling_prob=part.sampling_probability if sampled else 1.0,
        neighboring_relation=RELATIONS[adjacency],
    )


_coarse = lru_cache(maxsize=16)(_anew)
_fine = lru_cache(maxsize=3)(_anew)
