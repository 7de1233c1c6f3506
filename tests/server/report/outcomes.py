"""Outcomes of runs that never took place."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from server.evaluation import Measurement
from server.report.build import Outcome
from shared.config import Scalar
from shared.dp.events import Charge
from shared.dp.plan import PrivacyPlan
from tests.server.toy import config

Cohort = tuple[str, ...]
EVERYBODY: Cohort = ("site-0", "site-1", "site-2")
UNITS: dict[str, dict[str, Scalar]] = {
    "record": {"privacy.unit": "record", "training.sample_rate": 0.5},
    "client": {},
    "sampled client": {"cohort.sample_rate": 0.5},
    "none": {"privacy.unit": "none"},
    "masked records": {
        "privacy.unit": "record",
        "training.sample_rate": 0.5,
        "secure_aggregation": "on",
    },
    "masked client": {"cohort.sample_rate": 0.5, "secure_aggregation": "on"},
    "shared records": {
        "privacy.unit": "record",
        "training.sample_rate": 0.5,
        "privacy.noise": "distributed",
    },
    "shared client": {
        "privacy.noise": "distributed",
        "aggregation.noise_family": "skellam",
        "cohort.sample_rate": 0.5,
    },
}


def outcome(
    changes: Mapping[str, Scalar] | None = None,
    *,
    cohorts: Sequence[Cohort] = (EVERYBODY, EVERYBODY),
    loss: float = 0.5,
    simulated: bool = True,
) -> Outcome:
    """What a toy run of two rounds came to."""
    settings = config(Path(), changes)
    plan = PrivacyPlan.from_config(settings)
    event = plan.mechanism.round_event()
    return Outcome(
        config=settings,
        plan=plan,
        charges=[
            Charge(round_number=number, attempt=1, clients=clients, event=event)
            for number, clients in enumerate(cohorts, start=1)
        ],
        rounds_done=2,
        simulated=simulated,
        policy="seeded_simulation" if settings.seeded else "os_csprng",
        accuracy_by_round=[(1, 0.5), (2, 0.75)],
        final=Measurement(loss=loss, metrics={"accuracy": 0.75}),
    )
