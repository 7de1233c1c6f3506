"""A2: the real release code, called many times on the worst neighbours in few dimensions."""

import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy import stats

import client.trainer
import server.aggregation
from client.dp_optimizer import RecordOptimizer
from shared.dp.mechanisms import ClientPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import Randomness, SeededRandomness
from shared.messages import TrainReply
from simulations.audits.bounds import Scores, gaussian_epsilon, two_sided_bounds
from simulations.audits.findings import Finding, as_check

TRIALS = 20_000
_DIMENSION = 3
_ALPHA = 1e-6


def releases(plan: PrivacyPlan, trials: int, *, with_unit: bool, randomness: Randomness) -> Scores:
    """Noisy sums of one unit in the first coordinate or none, in units of C, (trials, 3)."""
    if isinstance(plan.mechanism, RecordPrivacy):
        return _record_releases(plan.mechanism, trials, with_unit=with_unit, randomness=randomness)
    return _client_releases(plan, trials, with_unit=with_unit, randomness=randomness)


def _record_releases(
    mechanism: RecordPrivacy, trials: int, *, with_unit: bool, randomness: Randomness
) -> Scores:
    weight = torch.nn.Parameter(torch.zeros(_DIMENSION))
    sgd = torch.optim.SGD([weight], lr=1.0)
    optimizer = RecordOptimizer(sgd, mechanism)
    found = np.empty((trials, _DIMENSION))
    for trial in range(trials):
        weight.data.zero_()
        if with_unit:
            weight.grad_sample = torch.tensor([[1e6, 0.0, 0.0]])  # type: ignore[attr-defined]
            optimizer.accumulate(1)
        optimizer.noisy_step(randomness.stream("record_noise", "audit", trial, int(with_unit)))
        found[trial] = -weight.detach().numpy()
    return found * mechanism.batch_size / mechanism.clipping_norm


def _client_releases(
    plan: PrivacyPlan, trials: int, *, with_unit: bool, randomness: Randomness
) -> Scores:
    plan = replace(plan, update=None)  # the same vectors, however they are written down
    mechanism = plan.mechanism
    assert isinstance(mechanism, ClientPrivacy)  # noqa: S101 - checked by the caller
    indicator = [0.0] if plan.adaptive else []
    update = np.array([1e6 if with_unit else 0.0, 0.0, 0.0, *indicator], np.float32)
    reply = TrainReply(round_number=1, attempt=1, plan_digest=plan.digest(), update=update)
    found = np.empty((trials, _DIMENSION))
    for trial in range(trials):
        total = server.aggregation.RoundSum(
            plan, _DIMENSION, cohort_size=1, round_number=1, attempt=1
        )
        total.add(0, reply)
        found[trial] = total.mean(randomness.stream("server_noise", trial, int(with_unit)))
    return found * plan.denominator / mechanism.clipping_norm


def audit_mechanism(
    plan: PrivacyPlan, *, trials: int = TRIALS, randomness: Randomness | None = None
) -> list[dict[str, Any]]:
    """One lower bound of one unsampled release, and a check of noise and sampling.

    Args:
        plan: A plan with independent noise of one party; for any other there is nothing to say:
            noise that all share in is added to integers, and not by the code that is called here.
        trials: Calls for each of the two neighbours.
        randomness: Where the streams come from.
    """
    started, source = time.perf_counter(), randomness or SeededRandomness(1)
    mechanism = plan.mechanism
    if not isinstance(mechanism, RecordPrivacy | ClientPrivacy) or plan.distributed:
        return []
    noise_multiplier = (
        mechanism.noise_multiplier
        if isinstance(mechanism, RecordPrivacy)
        else mechanism.update_noise_multiplier
    )
    without = releases(plan, trials, with_unit=False, randomness=source)
    with_unit = releases(plan, trials, with_unit=True, randomness=source)
    claim = gaussian_epsilon(1.0 / noise_multiplier, plan.delta)
    bound, _ = two_sided_bounds(without[:, 0], with_unit[:, 0], delta=plan.delta)
    seconds = time.perf_counter() - started
    result = {
        "name": "mechanism",
        "kind": "lower_bound",
        "threat_model": f"one release without sampling, promised {claim:.4f}",
        "unit": mechanism.unit,
        "guesses": bound.guesses,
        "correct": bound.correct,
        "result": bound.epsilon,
        "confidence": bound.confidence,
        "delta": plan.delta,
        "passed": bound.epsilon <= claim,
        "seconds": round(seconds, 4),
    }
    findings = (*noise_findings(without, noise_multiplier), *sampling_findings(plan))
    return [result, as_check("noise and sampling", mechanism.unit, findings, seconds=seconds)]


def noise_findings(noise: Scores, expected: float) -> tuple[Finding, ...]:
    """Whether `noise`, one row a release, has this standard deviation and never repeats."""
    found, total = [], float(np.sum((noise / expected) ** 2))
    chi = stats.chi2(noise.size)
    if min(chi.cdf(total), chi.sf(total)) < _ALPHA:
        found.append(Finding("NOISE_STDDEV", f"expected {expected:.3f} C"))
    flat = noise[:-1].ravel(), noise[1:].ravel()
    similar = float(flat[0] @ flat[1]) / max(float(np.sum(flat[0] ** 2)), 1e-300)
    if abs(similar) > 5.0 / np.sqrt(len(flat[0])):
        found.append(Finding("NOISE_REPEATED", f"correlation {similar:.3f} between releases"))
    return tuple(found)


def sampling_findings(plan: PrivacyPlan, *, trials: int = 2000) -> tuple[Finding, ...]:
    """Whether the number of records drawn has a binomial's mean and variance."""
    mechanism = plan.mechanism
    if not isinstance(mechanism, RecordPrivacy) or mechanism.sample_rate == 1.0:
        return ()
    source, count, q = SeededRandomness(2), 200, mechanism.sample_rate
    # Looked up where the trainer does, so that what it calls is what is audited.
    sample = vars(client.trainer)["poisson_sample"]
    sizes = np.array(
        [len(sample(count, q, stream=source.stream("audit", trial))) for trial in range(trials)]
    )
    variance = count * q * (1 - q)
    mean_off = abs(float(np.mean(sizes)) - count * q) / np.sqrt(variance / trials)
    spread = float(np.var(sizes)) / variance
    if mean_off > 5.5 or abs(spread - 1.0) > 0.25:
        return (Finding("SAMPLING_NOT_POISSON", f"variance {spread:.2f} of a binomial's"),)
    return ()
