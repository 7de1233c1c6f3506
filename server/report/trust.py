"""Who is trusted for what, and what the proof of the claims leaves out, layer by layer."""

from typing import Any

from shared.dp.mechanisms import CLIENT_LEVEL, NoPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.secagg.parameters import parameters_for
from shared.secagg.plan import AggregationPlan

_INTEGER_NOISE = "noise is drawn and added in whole numbers; clips are double precision"
_FLOAT_PROTECTION = "none: double-precision Gaussian noise, floating-point attacks are possible"
_NOT_ANALYSED = "not analysed"
_ROSTER = {
    "party": "whoever hands out the roster of identities",
    "trusted_for": "every key in it; in a demonstration keys follow from the names, and nothing is "
    "kept from anybody",
    "sees": "names and public keys",
}


def trust(plan: PrivacyPlan) -> dict[str, Any]:
    """The report's `trust`."""
    model, trusted, sees = _server(plan)
    found: dict[str, Any] = {
        "model": model,
        "parties": [
            {"party": "server", "trusted_for": trusted, "sees": sees},
            {
                "party": "client",
                "trusted_for": "its own data"
                + (", and its share of the noise" if plan.distributed else ""),
                "sees": "the global model of the rounds it takes part in"
                + (", and who else does" if plan.aggregation is not None else ""),
            },
        ],
    }
    if plan.aggregation is not None:
        found["parties"].append(_ROSTER)
        found["collusion_threshold"] = colluders(plan.population, plan.aggregation)
    return found


def colluders(population: int, aggregation: AggregationPlan) -> int:
    """c: clients that may work with the server, whoever is asked."""
    return parameters_for(
        population, population, aggregation.corrupt_fraction, aggregation.dropped_fraction
    ).corrupt


def _server(plan: PrivacyPlan) -> tuple[str, str, str]:
    """(model of trust, what the server is trusted for, what it sees)."""
    sums = "the sum of the updates of each attempt at a round"
    if plan.distributed:
        return "distributed_secagg", "the run's results", f"{sums}, with its noise"
    if isinstance(plan.mechanism, RecordPrivacy):
        return "local", "the run's results", "every noisy update" if not plan.aggregation else sums
    if plan.aggregation is not None:
        return "central", "the noise, and secrecy of every sum", f"{sums}, in clear"
    return (
        "central", "the noise, and secrecy of every update", "every update of every client in clear"
    )  # fmt: skip


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
        + ". Messages are carried by `murmura server` over TLS, by Flower's own SuperLink as its "
        "owner set it up, and in a simulation by nothing",
        "data_collection": f"consent, exposure and holding at the sites: {_NOT_ANALYSED}",
    }


def _draw(plan: PrivacyPlan) -> str:
    if not isinstance(plan.mechanism, CLIENT_LEVEL) or plan.aggregation is not None:
        return ""
    return "; the run folder holds who was asked, and must stay with the server"
