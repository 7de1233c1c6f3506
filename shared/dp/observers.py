"""Who looks at a run, what each of them sees, and what a promise against them rests on."""

from shared.dp.mechanisms import (
    CLIENT_LEVEL,
    CorrelatedPrivacy,
    NoPrivacy,
    RecordPrivacy,
)
from shared.dp.plan import PrivacyPlan

SEES = {
    "server_each_update": "every update that every client sends, and who takes part",
    "server_secagg_sum": "the sum of the updates of many clients, once for each attempt at a "
    "round, and who takes part",
    "every_global_model": "the global model after every round (other clients)",
    "released_model": "the model at the end",
}
_SERVER = ("server_each_update", "server_secagg_sum")
_RESTS_ON = {
    "record": "every site runs this client unmodified, and its draw of records stays secret",
    "client": "the server, which sees every clipped update, adds the noise and keeps the draw of "
    "the cohort secret",
    "none": "nothing is promised",
}


def observers(plan: PrivacyPlan) -> tuple[str, ...]:
    """Those that a report speaks of; who sees sums alone only where there are masks."""
    masked = plan.aggregation is not None
    return tuple(name for name in SEES if masked or name != "server_secagg_sum")


def is_protected(plan: PrivacyPlan, adversary: str) -> bool:
    """Whether the mechanism stands between `adversary` and one unit."""
    if isinstance(plan.mechanism, NoPrivacy):
        return False
    if plan.distributed:
        # Secrecy: one update has a share of the noise only; masks alone hide it.
        return adversary != "server_each_update"
    # Secrecy: at client level the server adds the noise, to updates or sums that it has in clear.
    return isinstance(plan.mechanism, RecordPrivacy) or adversary not in _SERVER


def why_nothing(plan: PrivacyPlan, adversary: str) -> str:
    """Why nothing is promised against `adversary`."""
    if isinstance(plan.mechanism, NoPrivacy):
        return "the run has no differential privacy"
    if is_protected(plan, adversary):
        return "what was released cannot be bounded"
    if plan.distributed:
        return "each update has a share of the noise only, and is hidden by its masks alone"
    if adversary == "server_secagg_sum":
        return "the server adds the noise itself, to a sum that it has in clear"
    return "it receives each clipped update before the noise is added"


def rests_on(plan: PrivacyPlan) -> str:
    """What must hold for the claims to hold."""
    mechanism, aggregation = plan.mechanism, plan.aggregation
    if isinstance(mechanism, CorrelatedPrivacy):
        return (
            "the server, which sees every clipped update, adds the noise; every client refuses to "
            f"take part twice within {mechanism.min_separation} rounds, or more than "
            f"{mechanism.max_participations} times"
        )
    if aggregation is None or isinstance(mechanism, NoPrivacy):
        return _RESTS_ON[mechanism.unit]
    if not plan.distributed:
        server = "the server, which sees every round's sum, adds the noise"
        return server if isinstance(mechanism, CLIENT_LEVEL) else _RESTS_ON["record"]
    draw = "" if isinstance(mechanism, CLIENT_LEVEL) else ", whose draw of records stays secret"
    return (
        "no more of the population works with the server than the plan's corrupt fraction; the "
        "roster of identities came by a channel that the server cannot rewrite; every other site "
        f"runs this client unmodified{draw}; those whom a sum holds at the least, less the "
        "corrupt, carry the whole noise together"
    )
