"""A guard lets out what its owner allows, once, and the algorithm is the one of the simulation."""

from pathlib import Path
from typing import Any

import pytest

from client.ledger import Ledger
from shared.config import Scalar
from simulations.federation import simulate
from tests.client.guarded_grid import GuardedSite, federated, made_sites

MODEL = "model.safetensors"
SEEDED: dict[str, Scalar] = {
    "task": "digits", "rounds": 2, "seed": 11, "population.size": 3,
    "population.examples_per_client": 60, "training.batch_size": 10, "runtime.device": "cpu",
    "privacy.epsilon_budget": 100.0, "privacy.delta": 0.01, "audit.canaries": 0,
    "output.run_id": "run", "output.tensorboard": False,
}  # fmt: skip
MASKED: dict[str, Scalar] = {"privacy.noise": "distributed", "evaluation.private_every": 2}
CLIENT: dict[str, Scalar] = {"privacy.unit": "client", "training.epochs": 0}
VARIANTS: dict[str, dict[str, Scalar]] = {
    "record": {},
    "questions": {
        "evaluation.private_every": 1,
        "statistics.private": True,
        "statistics.high": 16.0,
    },
    "client": CLIENT,
    "adaptive": CLIENT | {"privacy.clipping": "adaptive"},
    "masked record": MASKED,
    "masked client": CLIENT | MASKED,
}


def both(folder: Path, changes: dict[str, Scalar]) -> tuple[Path, Path, list[GuardedSite]]:
    """The run in a simulation, and over guards."""
    flat = SEEDED | changes
    simulated = simulate(flat | {"output.dir": str(folder / "simulated")})
    guarded = flat | {"output.dir": str(folder / "guarded")}
    unit = {"unit": str(flat.get("privacy.unit", "record"))}
    sites = made_sites(folder, guarded, **unit)
    return simulated, federated(sites, guarded), sites


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_guards_give_the_model_of_the_simulation_bit_for_bit(tmp_path: Path, variant: str) -> None:
    """At record and client level, with questions, in clear and under masks."""
    simulated, guarded, sites = both(tmp_path, VARIANTS[variant])
    assert (guarded / MODEL).read_bytes() == (simulated / MODEL).read_bytes()
    assert "claimed by 3 of 3 sites" in (guarded / "report.json").read_text()
    for site in sites:
        reservations = Ledger(site.home.ledger).reservations
        assert len(reservations) >= 2
        assert None not in reservations.values()
        assert list(site.home.state.glob("message-*")) == []


def events_of(site: GuardedSite, name: str) -> list[dict[str, Any]]:
    """What was recorded under one name."""
    return [detail for event, detail in site.events if event == name]


def test_all_runs_of_a_site_share_what_is_remembered_of_its_ledger(tmp_path: Path) -> None:
    """Memory grows with the site's releases, not with releases times runs."""
    site, *_ = made_sites(tmp_path, SEEDED)
    opened = [site.guard._run(number).session._charging for number in (1, 2)]
    first, second = (charging._ledger(site.home.ledger) for charging in opened)
    assert opened[0] is not opened[1]
    assert first is second
