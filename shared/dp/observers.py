"""Who sees what of a run, and whether the noise stands between them and one unit.

Masks hide an update from whoever is bounded in computing power; noise hides a unit from anybody.
Only noise makes an epsilon finite: an update that is under masks alone has none.
"""

from shared.dp.mechanisms import CLIENT_LEVEL, CorrelatedPrivacy, NoPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.secagg.plan import AggregationPlan

EACH_UPDATE, SUMS = "server_each_update", "server_secagg_sum"
_SEES = {
    EACH_UPDATE: "every update that every client sends, and who takes part",
    SUMS: "the sum of the updates of at least t clients, once for each attempt at a round, and "
    "who takes part",
    "every_global_model": "the global model after every round (other clients)",
    "released_model": "the model at the end",
}
UNIT_DETAIL = {
    "record": "one training example of one site; a person with records at several sites is "
    "protected at the sum of their epsilons",
    "client": "all training examples of one client",
    "none": "nothing",
}
_RESTS_ON = {
    "record": "every site runs this client unmodified, and its draw of records stays secret",
    "client": "the server, which sees every clipped update, adds the noise and keeps the draw of "
    "the cohort secret",
    "none": "nothing is promised",
}


def observers(plan: PrivacyPlan) -> dict[str, str]:
    """Name of each observer of a run -> what it sees; sums only where updates are masked."""
    return {
        name: sees for name, sees in _SEES.items() if name != SUMS or plan.aggregation is not None
    }


def is_protected(plan: PrivacyPlan, observer: str) -> bool:
    """Whether noise stands between `observer` and one unit."""
    if isinstance(plan.mechanism, NoPrivacy):
        return False
    if plan.distributed:
        # Secrecy: each update has a share of the noise only, and hides nobody once unmasked.
        return observer != EACH_UPDATE
    if isinstance(plan.mechanism, CLIENT_LEVEL):
        # Secrecy: at client level the server holds updates, or their sum, before the noise.
        return observer not in {EACH_UPDATE, SUMS}
    return True


def rests_on(plan: PrivacyPlan) -> str:
    """What a finite claim is conditional on, in words."""
    mechanism = plan.mechanism
    if plan.distributed and plan.aggregation is not None:
        return _of_shares(plan.aggregation, records=isinstance(mechanism, RecordPrivacy))
    if isinstance(mechanism, CorrelatedPrivacy):
        return (
            "the server, which sees every clipped update, adds the noise; every client refuses to "
            f"take part twice within {mechanism.min_separation} rounds, or more than "
            f"{mechanism.max_participations} times"
        )
    if isinstance(mechanism, CLIENT_LEVEL) and plan.aggregation is not None:
        return "the server, which sees the sum of each round before the noise, adds the noise"
    return _RESTS_ON[mechanism.unit]


def _of_shares(aggregation: AggregationPlan, *, records: bool) -> str:
    draw = ", its draw of records stays secret" if records else ""
    return (
        f"at most {aggregation.corrupt_fraction!r} of the population works with the server or "
        "tells others its share of the noise, the roster of identities came by a channel that the "
        f"server cannot rewrite, every site runs this client unmodified{draw}, nobody breaks the "
        "ciphers of the masks, and whoever is among the survivors adds its share: any t - c honest "
        "survivors carry the whole noise (t: fewest that are summed, c: most that work with the "
        "server)"
    )


def why_nothing(plan: PrivacyPlan, observer: str) -> str:
    """Why nothing is promised against `observer`."""
    if isinstance(plan.mechanism, NoPrivacy):
        return "the run has no differential privacy"
    if is_protected(plan, observer):
        return "what was released cannot be bounded"
    if plan.distributed:
        return (
            "an update has only its site's share of the noise, and is hidden by the masks of "
            "secure aggregation alone"
        )
    if observer == SUMS:
        return "it adds the noise itself, and receives the sum of each round before it"
    if plan.aggregation is not None:
        return "no noise is in an update, which is hidden by the masks of secure aggregation alone"
    return "it receives each clipped update before the noise is added"
