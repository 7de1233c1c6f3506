"""Encodings: bounded, never wrapping, with enough noise for the survivors there must be."""

import math
import os
from typing import Any

import numpy as np
import pytest

from shared.config import RunConfig, Scalar
from shared.dp.concentrated import noise_multiplier_of
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import RandomStream
from shared.errors import ConfigurationError
from shared.secagg.encoding import Encoding, parameters_of, query_encoding, update_encoding
from shared.secagg.ring import from_ring, to_ring
from tests.significance import is_normal

D = 500
CONTEXT = b"c" * 32


def plan_of(**keys: Any) -> PrivacyPlan:
    """Of a configuration; `__` for a dot."""
    raw: dict[str, Scalar] = {key.replace("__", "."): value for key, value in keys.items()}
    return PrivacyPlan.from_config(RunConfig.from_run_config(raw))


DISTRIBUTED = {"privacy__noise": "distributed"}
CLIENT = {"privacy__unit": "client", "privacy__delta": 1e-3}
ASKED = {"evaluation__private_every": 1}
PLANS = {
    "records, own noise": plan_of(secure_aggregation="on", **ASKED),
    "records, own noise, adam": plan_of(secure_aggregation="on", training__optimizer="adam"),
    "records, shared noise": plan_of(**DISTRIBUTED, **ASKED),
    "clients, the server's noise": plan_of(secure_aggregation="on", **CLIENT, **ASKED),
    "clients, shared noise": plan_of(**DISTRIBUTED, **CLIENT, **ASKED),
    "clients, skellam": plan_of(**DISTRIBUTED, **CLIENT, aggregation__noise_family="skellam"),
    "none": plan_of(secure_aggregation="on", privacy__unit="none"),
}


def fresh() -> RandomStream:
    """Of the operating system."""
    return RandomStream(os.urandom(32))


def summed(encoding: Encoding, vectors: list[np.ndarray]) -> np.ndarray:
    """What a server makes of them, through the ring."""
    words = sum(
        to_ring(encoding.encode(v, CONTEXT, fresh(), fresh()), encoding.bits).astype(np.uint64)
        for v in vectors
    )
    reduced = to_ring(np.asarray(words).astype(np.int64), encoding.bits)
    return encoding.decode(from_ring(reduced, encoding.bits), CONTEXT)


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("clients", [15, 20])
def test_a_sum_of_the_longest_vectors_comes_back(name: str, clients: int) -> None:
    """All alike, which is the most that they can add up to; the rest is rounding and noise."""
    encoding = update_encoding(PLANS[name], D, clients)
    longest = np.random.default_rng(1).standard_normal(D)
    longest *= encoding.signal_bound / np.linalg.norm(longest)
    error = summed(encoding, [longest] * clients) - clients * longest
    variance = clients * (encoding.share_variance + 0.25) / encoding.scale**2
    assert np.linalg.norm(error) < 1.3 * math.sqrt(variance * D) + 1e-9


@pytest.mark.parametrize("name", ["records, shared noise", "clients, shared noise"])
def test_shared_noise_has_the_variance_that_is_stated(name: str) -> None:
    """And a shape that cannot be told from a Gaussian's at these widths."""
    encoding = update_encoding(PLANS[name], 4096, 20)
    # Twice: of 4,096 numbers a tenth too wide one set in some thousands passes.
    error = np.concatenate([summed(encoding, [np.zeros(4096)] * 20) for _ in range(2)])
    rounding = 0.25 * (not encoding.whole)  # zero is rounded to zero where a unit is a vector
    stddev = math.sqrt(20 * (encoding.share_variance + rounding)) / encoding.scale
    assert is_normal(error, stddev)
    assert not is_normal(error, 1.1 * stddev)


@pytest.mark.parametrize(
    "name", ["records, shared noise", "clients, shared noise", "clients, skellam"]
)
def test_the_fewest_honest_survivors_carry_the_plans_noise(name: str) -> None:
    """t - c shares against the sensitivity with all that rounding adds; not one share less."""
    plan = PLANS[name]
    encoding, parameters = update_encoding(plan, D, 20), parameters_of(plan, 20)
    assert encoding.honest == parameters.survivors - parameters.corrupt == 16

    def z(shares: int, sensitivity: float) -> float:
        return noise_multiplier_of(
            family=encoding.family, share_variance=encoding.share_variance, shares=shares,
            sensitivity=sensitivity, dimension=encoding.length,
        )  # fmt: skip

    planned = plan.mechanism.noise_multiplier  # type: ignore[union-attr]
    assert z(16, encoding.sensitivity) >= planned > z(15, encoding.sensitivity)


@pytest.mark.parametrize("rotated", [True, False])
def test_one_record_moves_a_site_by_the_sensitivity_at_most(rotated: bool) -> None:
    """Whatever the others are: the same thresholds round both sums."""
    plan = PLANS["records, shared noise"]
    encoding = update_encoding(plan, D, 20)
    if not rotated:
        assert plan.evaluation is not None
        encoding = query_encoding(plan, plan.evaluation, 20)
    generator = np.random.default_rng(2)
    for seed in range(20):
        site = generator.standard_normal(encoding.dimension) * encoding.signal_bound / 30
        record = generator.standard_normal(encoding.dimension)
        record *= encoding.unit_bound / np.linalg.norm(record)
        key = bytes([seed]) * 32
        quantizer = encoding.quantizer(CONTEXT)
        one, two = (quantizer.rounded(v, RandomStream(key)) for v in (site, site + record))
        assert np.linalg.norm(one - two) <= encoding.sensitivity
        assert np.linalg.norm(one - two) > 0.5 * encoding.scale * encoding.unit_bound


def test_what_is_too_long_is_cut_and_what_is_no_number_is_zero() -> None:
    """NaN never leaves."""
    encoding = update_encoding(PLANS["none"], D, 20)
    huge = encoding.decode(encoding.encode(np.full(D, 1e9), CONTEXT, fresh(), fresh()), CONTEXT)
    assert np.linalg.norm(huge) == pytest.approx(encoding.reach, rel=1e-3)
    nothing = encoding.encode(np.full(D, math.nan), CONTEXT, fresh(), fresh())
    assert not nothing[1:].any()


@pytest.mark.parametrize("name", [name for name, plan in PLANS.items() if plan.queries])
def test_answers_to_queries_add_up(name: str) -> None:
    """Without a rotation, in the largest ring."""
    plan = PLANS[name]
    assert plan.evaluation is not None
    encoding = query_encoding(plan, plan.evaluation, 20)
    assert (encoding.bits, encoding.length) == (32, 3)
    error = summed(encoding, [np.array([0.5, 0.25, 1.0])] * 20) - [10.0, 5.0, 20.0]
    assert np.abs(error).max() < 7 * math.sqrt(20 * (encoding.share_variance + 1)) / encoding.scale


def test_fewer_bits_are_taken_where_they_cost_little() -> None:
    """And never so few that a sum would wrap."""
    for plan in PLANS.values():
        encoding = update_encoding(plan, D, 20)
        assert encoding.fits
        assert encoding.costs_little
    wide = update_encoding(plan_of(**DISTRIBUTED, aggregation__bits=16), 10**6, 20)
    assert wide.inflation > 0.01
    assert update_encoding(PLANS["none"], D, 20).inflation == 0.0


def test_what_fits_no_ring_is_refused() -> None:
    """By name of what would help."""
    huge = plan_of(secure_aggregation="on", aggregation__update_bound=1e18, aggregation__bits=16)
    with pytest.raises(ConfigurationError, match=r"aggregation\.bits"):
        update_encoding(huge, 10, 20)
    loud = plan_of(
        **DISTRIBUTED, **CLIENT, aggregation__noise_family="skellam",
        privacy__noise_multiplier=1e30, privacy__epsilon_budget=9.0,
    )  # fmt: skip
    with pytest.raises(ConfigurationError):
        update_encoding(loud, 10, 20)
    with pytest.raises(ConfigurationError, match="without"):
        update_encoding(plan_of(), 10, 20)
