"""Canaries where all clients share the noise: a bound below the claim, above it with too little."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import client.session
import server.collection
import shared.secagg.encoding
from server.report.verify import verify
from shared.config import RunConfig, Scalar
from shared.dp.randomness import RandomStream
from shared.dp.witness import Place, installed
from shared.errors import TooFewSurvivors
from shared.secagg.encoding import Encoding
from shared.secagg.ring import Integers
from simulations.audits.shared_canaries import SharedNoiseCanaries
from simulations.faults import Fault
from simulations.federation import simulate
from tests.significance import has_rate

FULL: dict[str, Scalar] = {
    "task": "digits",
    "rounds": 3,
    "seed": 3,
    "population.size": 4,
    "population.examples_per_client": 50,
    "training.batch_size": 50,
    "training.sample_rate": 1.0,
    "training.learning_rate": 0.1,
    "privacy.noise": "distributed",
    "privacy.noise_multiplier": 2.0,
    "privacy.epsilon_budget": 1e4,
    "privacy.delta": 1e-3,
    "aggregation.corrupt_fraction": 0.0,
    "aggregation.dropped_fraction": 0.25,
    "audit.canaries": 1000,
    "runtime.evaluate_every": 100,
    "output.run_id": "run",
    "output.tensorboard": False,
}
UNITS = ["record", "client"]
ANY = "canaries, any mechanism"
MODEL = "model.safetensors"
D = 4000


def keys(changes: dict[str, Scalar]) -> dict[str, Scalar]:
    """Of a run config; `__` for a dot."""
    return {key.replace("__", "."): value for key, value in changes.items()}


def report_of(folder: Path, **changes: Scalar) -> dict[str, Any]:
    """The report of a run, which is verified."""
    run = simulate(FULL | {"output.dir": str(folder)} | keys(changes))
    assert not verify(run)
    assert installed() is None
    return dict(json.loads((run / "report.json").read_text()))


def bound_of(report: dict[str, Any]) -> float:
    """The bound that holds for any mechanism."""
    return next(float(audit["result"]) for audit in report["audit"] if audit["name"] == ANY)


@pytest.mark.no_cover
@pytest.mark.parametrize("unit", UNITS)
def test_a_bound_stands_beside_the_claim_against_the_server(tmp_path: Path, unit: str) -> None:
    """Above nothing, at most the claim; what rests on a Gaussian is labelled an estimate."""
    report = report_of(tmp_path, privacy__unit=unit, privacy__noise_multiplier=1.0)
    claim = next(c for c in report["claims"] if c["adversary"] == "server_secagg_sum")
    assert 1.0 < bound_of(report) <= float(claim["epsilon"])
    assert "Measured by audit: epsilon at least" in claim["statement"]
    assert [a["kind"] for a in report["audit"]] == ["lower_bound", "estimate", "estimate"]
    assert all(a["claim_id"] == claim["id"] and a["passed"] for a in report["audit"])
    assert all("unmasked sum" in a["threat_model"] for a in report["audit"])


def a_hundredth(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan's variance divided by far too many."""
    true = Encoding.share_variance.fget  # type: ignore[attr-defined]
    monkeypatch.setattr(Encoding, "share_variance", property(lambda self: true(self) // 100))


def none_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share is computed, and never added."""

    def forgotten(whole: Integers, variance: int, family: str, stream: RandomStream) -> Integers:
        del variance, family, stream
        return whole

    monkeypatch.setattr(shared.secagg.encoding, "add_share", forgotten)


@pytest.mark.no_cover
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("plant", [a_hundredth, none_drawn])
def test_too_small_a_share_of_the_noise_exceeds_the_claim(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    unit: str,
    plant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    """The bound that needs no Gaussian says so, and the verdict is that nothing is private."""
    plant(monkeypatch)
    report = report_of(tmp_path, privacy__unit=unit)
    found = next(audit for audit in report["audit"] if audit["name"] == ANY)
    assert not found["passed"]
    assert "AUDIT_EXCEEDS_CLAIM" in {p["code"] for p in report["verdict"]["problems"]}
    assert report["verdict"]["level"] == "not_private"


@pytest.mark.no_cover
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("canaries", [0, 40])
def test_without_canaries_the_hooks_change_no_byte_and_with_them_a_run_is_repeatable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str, canaries: int
) -> None:
    """A second run without the hooks at all has the same model exactly where nobody is planted."""
    changes: dict[str, Scalar] = {"privacy__unit": unit, "audit__canaries": canaries, "rounds": 2}
    first, again = (report_of(tmp_path / name, **changes) for name in ("first", "again"))

    def plain(encoding: Encoding, *args: Any, place: Place | None) -> Integers:
        del place
        return encoding.encode(*args)

    monkeypatch.setattr(client.session, "encode_witnessed", plain)
    monkeypatch.setattr(server.collection, "show_sum", lambda *_, **__: None)
    bare = keys(changes) | {"output.dir": str(tmp_path / "bare"), "audit.canaries": 0}
    models = [(tmp_path / name / "run" / MODEL).read_bytes() for name in ("first", "again")]
    models.append((simulate(FULL | bare) / MODEL).read_bytes())
    assert models[0] == models[1]
    assert (models[1] == models[2]) == (canaries == 0)
    results = [[a["result"] for a in report["audit"]] for report in (first, again)]
    assert results[0] == results[1]
    assert bool(results[0]) == (canaries > 0)


@dataclass
class Once:
    """The listed clients are lost in the listed rounds, the first time that they are to train."""

    left: set[tuple[int, str]]

    def fault(self, client_index: int, message_type: str, group_id: str) -> Fault | None:
        """Unavailable, once."""
        if message_type != "train" or (client_index, group_id) not in self.left:
            return None
        self.left.discard((client_index, group_id))
        return Fault.UNAVAILABLE


@pytest.mark.no_cover
@pytest.mark.parametrize("unit", UNITS)
def test_lost_clients_and_a_repeated_round_keep_the_bound(tmp_path: Path, unit: str) -> None:
    """Too few answer round 1 at first, one does not answer round 2."""
    faults = Once({(0, "1"), (1, "1"), (0, "2")})
    raw = FULL | {"privacy.unit": unit, "cohort.attempts": 2, "output.dir": str(tmp_path)}
    run = simulate(raw | {"cohort.minimum_survivors": 0.75}, faults=faults)
    assert not verify(run)
    report = json.loads((run / "report.json").read_text())
    claim = min(float(c["epsilon"]) for c in report["claims"])
    assert 0.3 < bound_of(report) <= claim


@pytest.mark.no_cover
@pytest.mark.parametrize("unit", UNITS)
def test_a_resumed_run_goes_on_to_the_same_bytes(tmp_path: Path, unit: str) -> None:
    """Which canary comes with whom follows from the seed and the clients' names."""
    raw = FULL | {"privacy.unit": unit, "audit.canaries": 40}
    whole = simulate(raw | {"output.dir": str(tmp_path / "whole")})
    parts = raw | {"output.dir": str(tmp_path / "parts")}
    with pytest.raises(TooFewSurvivors):
        simulate(parts, faults=Once({(index, "2") for index in range(4)}))
    resumed = simulate(parts | {"output.resume": True})
    assert (resumed / MODEL).read_bytes() == (whole / MODEL).read_bytes()
    audits = json.loads((resumed / "report.json").read_text())["audit"]
    assert all("rounds 2 to 3" in audit["threat_model"] for audit in audits)


@pytest.mark.no_cover
@pytest.mark.parametrize("unit", UNITS)
def test_whole_noise_under_masks_has_its_bound_too(tmp_path: Path, unit: str) -> None:
    """A cohort that all are told of amplifies no claim, and canary clients are in every round."""
    changes: dict[str, Scalar] = {"privacy__noise": "whole", "secure_aggregation": "on"}
    changes |= {"privacy__noise_multiplier": 1.0, "population__size": 8}
    if unit == "client":
        changes["cohort__sample_rate"] = 0.8
    report = report_of(tmp_path, privacy__unit=unit, **changes)
    bounds = [a for a in report["audit"] if a["kind"] == "lower_bound"]
    claim = min(float(c["epsilon"]) for c in report["claims"])
    assert [a["name"] for a in bounds] == [ANY, "canaries, Gaussian trade-off"]
    assert all(claim / 5 < a["result"] <= claim for a in bounds)


def witness_of(**changes: Scalar) -> SharedNoiseCanaries:
    """Of a run that is played by hand."""
    return SharedNoiseCanaries(RunConfig.from_run_config(FULL | keys(changes)))


def played(
    canaries: SharedNoiseCanaries, number: int, survivors: list[str], attempt: int = 1
) -> Any:
    """One attempt at a round in which every client gives zero; what the canaries added."""
    total = np.zeros(D)
    for index in range(4):
        place = Place(client_id=f"site-{index:06d}", round_number=number, step=1, attempt=attempt)
        canaries.told(place, np.zeros(D))
        added = canaries.contribution(place, D)
        if added is not None and place.client_id in survivors:
            total[added.indices] += added.values
    canaries.saw_sum(
        Place(client_id="", round_number=number, step=0, attempt=attempt), survivors, total, 1.0
    )
    return total


NAMES = [f"site-{index:06d}" for index in range(4)]


def test_the_canaries_of_a_lost_site_are_not_scored() -> None:
    """All know that they cannot have been in the sum; a quarter of them is of each site."""
    canaries = witness_of()
    played(canaries, 1, NAMES[1:])
    scores = canaries._groups[""].scores
    assert (scores[0::4] == 0.0).all()
    assert all((scores[site::4] != 0.0).all() for site in (1, 2, 3))
    played(canaries, 2, NAMES)
    assert (scores != 0.0).all()


def test_canary_clients_come_with_whoever_answers_first_and_are_lost_with_it() -> None:
    """Then the round tells nothing of them."""
    canaries = witness_of(privacy__unit="client")
    assert not played(canaries, 1, NAMES[1:]).any()
    assert not canaries._groups[""].scores.any()
    assert (
        np.abs(played(canaries, 1, NAMES, attempt=2)).sum() == canaries._groups[""].included.sum()
    )
    assert canaries._groups[""].scores.all()


def test_canary_records_are_drawn_anew_at_the_records_rate_in_every_attempt() -> None:
    """Canary clients are in every sum, whatever share of clients is asked."""
    canaries = witness_of(training__sample_rate=0.3)
    drawn = [np.abs(played(canaries, 1, NAMES, attempt)) for attempt in (1, 2)]
    included = int(canaries._groups[""].included.sum())
    assert all(has_rate(int(d.sum()), included, 0.3) for d in drawn)
    assert (drawn[0] != drawn[1]).any()
    clients = witness_of(privacy__unit="client", cohort__sample_rate=0.3)
    assert np.abs(played(clients, 1, NAMES)).sum() == clients._groups[""].included.sum()


def test_the_number_of_canary_clients_is_bounded_by_what_their_encoding_costs() -> None:
    """Fewer of longer vectors, a hundred at least; as many as are asked for."""
    automatic = witness_of(
        privacy__unit="client", audit__canaries=-1, privacy__noise_multiplier=9.0
    )
    assert [automatic._count(d) for d in (1000, 4096, 5000, 10**6)] == [1000, 512, 256, 100]
    assert witness_of(privacy__unit="client")._count(10**6) == 1000
    assert witness_of(audit__canaries=-1, privacy__noise_multiplier=9.0)._count(5000) == 2000
