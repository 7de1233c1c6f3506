"""Who is trusted for what, and what the proof of the claims leaves out, layer by layer."""

import math
from typing import Any

from shared.dp.mechanisms import CLIENT_LEVEL, NoPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.secagg.plan import AggregationPlan

_FLOAT_PROTECTION = "none: double-precision Gaussian noise, floating-point attacks are possible"
_INTEGER_NOISE = "noise and sums are whole numbers; clips and gradients are floating-point"
_NOT_ANALYSED = "not analysed"


def trust(plan: PrivacyPlan) -> dict[str, Any]:
    """The report's `trust`."""
    if plan.aggregation is not None:
        return _under_masks(plan, plan.aggregation)
    each = isinstance(plan.mechanism, RecordPrivacy)
    sees = "every noisy update" if each else "every update of every client in clear"
    trusted = "the run's results" if each else "the noise, and secrecy of every update"
    return {
        "model": "local" if each else "central",
        "parties": [
            {"party": "server", "trusted_for": trusted, "sees": sees},
            {
                "party": "client",
                "trusted_for": "its own data",
                "sees": "the global model of the rounds it takes part in",
            },
        ],
    }


def _under_masks(plan: PrivacyPlan, aggregation: AggregationPlan) -> dict[str, Any]:
    central = isinstance(plan.mechanism, CLIENT_LEVEL) and not plan.distributed
    return {
        "model": "distributed_secagg",
        "parties": [
            {
                "party": "server",
                "trusted_for": "the noise of every sum" if central else "the run's results",
                "sees": "sums over many clients, once for each attempt; who takes part",
            },
            {
                "party": "client",
                "trusted_for": "its own data; its share of the noise, if it is not of the corrupt"
                if plan.distributed
                else "its own data",
                "sees": "the global model and the cohort of the rounds it takes part in",
            },
            {
                "party": "whoever hands out the roster of identities",
                "trusted_for": "every key in it; in a demonstration keys follow from the names, "
                "and nothing is kept from anybody",
                "sees": "names and public keys",
            },
        ],
        "collusion_threshold": math.floor(aggregation.corrupt_fraction * plan.population + 1e-9),
    }


def implementation(plan: PrivacyPlan, policy: str) -> dict[str, Any]:
    """The report's `implementation`, with a line for each layer of the NIST pyramid.

    A layer that nobody looked at says so: silence would read as a clean bill.

    Source: NIST SP 800-226 (March 2025), the differential privacy pyramid: unit and epsilon on
    top, then what undermines them, then security and how the data were collected.
    """
    private = not isinstance(plan.mechanism, NoPrivacy)
    return {
        "rng": f"ChaCha20 streams, {policy}",
        "float_protection": _INTEGER_NOISE if plan.distributed else _FLOAT_PROTECTION,
        "side_channels": f"{_NOT_ANALYSED}; how long a site takes may depend on its data",
        "model_checks": ["known layers", "changing buffers", "one backward pass per example"],
        "unit_and_epsilon": "stated by every claim" if private else "nothing is promised",
        "correctness": "mechanism and accounting event come from one object; audits, where listed, "
        "measure the code from below",
        "utility_and_bias": "accuracy is measured on public data; for whom the model works worse: "
        f"{_NOT_ANALYSED}",
        "trust_model": "parties and assumptions are listed",
        "security": f"storage and network of server and sites: {_NOT_ANALYSED}"
        + _draw(plan)
        + ". Transport is Flower's",
        "data_collection": f"consent, exposure and holding at the sites: {_NOT_ANALYSED}",
    }


def _draw(plan: PrivacyPlan) -> str:
    if not isinstance(plan.mechanism, CLIENT_LEVEL):
        return ""
    return "; the run folder holds who was asked, and must stay with the server"
