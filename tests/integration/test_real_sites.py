"""Real SuperNodes of sites with keys, roster, ledger and data of their own; docs as they stand."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.report.verify import verify
from tests.integration.real_sites import (
    ROOT,
    RealSite,
    documented_task,
    real_sites,
    run_config,
)
from tests.integration.superlink import Deployment, Value, deployment


@dataclass(frozen=True)
class Sites:
    """Three sites, what they know of one another, and how they are reached."""

    sites: list[RealSite]
    roster: dict[str, str]
    federation: Deployment
    task: str

    def run(self, name: str, changes: dict[str, Value]) -> Path:
        """The folder of a run that came to its end."""
        given: dict[str, Value] = {
            "task": self.task, "output.dir": str(self.federation.logs), "output.run_id": name,
            "output.tensorboard": False, "population.examples_per_client": 200,
        }  # fmt: skip
        status = self.federation.run(run_config() | given | changes, timeout_s=600)
        assert status == "finished:completed", self.federation.log("superlink")[-5000:]
        return self.federation.logs / name


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    """Their SuperNodes, and a SuperLink that knows their keys."""
    folder = tmp_path_factory.mktemp("sites")
    task = documented_task(folder)
    sites, roster = real_sites(folder, 3)
    nodes = [site.supernode() for site in sites]
    with deployment(ROOT, folder, nodes, {"PYTHONPATH": str(folder)}) as federation:
        yield Sites(sites, roster, federation, task)


@pytest.mark.integration
@pytest.mark.slow
def test_sites_with_keys_of_their_own_sum_under_masks(three: Sites) -> None:
    """To the end: each ledger is charged once a round, and the report says what trust is left."""
    run = three.run("all", {})
    report = json.loads((run / "report.json").read_text())
    assert report["run"]["execution"] == "deployment"
    (roster,) = [entry for entry in report["assumptions"] if entry["id"] == "roster"]
    assert (roster["status"], roster["evidence"]) == ("assumed", "the enrolment's")
    assert {claim["adversary"] for claim in report["claims"]} >= {"server_secagg_sum"}
    heads = {told["client"]: told["ledger_head"] for told in report["clients"]["per_client"]}
    for site in three.sites:
        assert site.charges == [("train", 1, 1), ("train", 2, 1)]
        assert heads[site.name] in {entry["hash"] for entry in site.ledger.entries}
    assert not verify(run)


@pytest.mark.integration
@pytest.mark.slow
def test_a_site_that_knows_another_key_of_a_peer_is_in_no_sum(three: Sites) -> None:
    """It refuses by name and is charged nothing; the other two are summed."""
    *others, apart = three.sites
    before = [list(site.charges) for site in three.sites]
    swapped = three.roster | {others[0].name: "ab" * 32}
    apart.trust(swapped)
    run = three.run("two", {"aggregation.dropped_fraction": 0.34, "rounds": 1})
    apart.trust(three.roster)
    log = (run / "log.txt").read_text()
    assert f"{apart.name} is left out" in log
    assert "foreign_signature" in log
    assert [site.charges for site in three.sites] == [
        [*before[0], ("train", 1, 1)], [*before[1], ("train", 1, 1)], before[2],
    ]  # fmt: skip
    (measured,) = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert (measured["asked"], measured["answered"]) == (3, 2)
    assert not verify(run)
