"""One federation of commands: what server and site say of it afterwards agrees."""

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from client.home import SiteHome
from murmura.cli import main
from server.app_key import read_app_key, signature_of
from server.home import LISTENING, ServerHome
from server.local_client import facts_of, status_of
from shared.app_signatures import bundle_content
from shared.durable import read_json
from tests.integration.flower_command import flower_command
from tests.integration.service import ROOT, becomes_true, murmura, service
from tests.integration.superlink import _copy_of_the_app, _toml
from tests.integration.test_service import flower

SETTINGS: dict[str, str | int | float | bool] = {
    "task": "digits", "rounds": 2, "seed": 11, "population.size": 1,
    "population.examples_per_client": 60, "training.batch_size": 20, "privacy.delta": 0.01,
    "privacy.epsilon_budget": 100.0, "audit.canaries": 0, "output.tensorboard": False,
    "output.run_id": "trail",
}  # fmt: skip


@dataclass(frozen=True)
class Federation:
    """What is left of it: two homes, and the run."""

    server: ServerHome
    site: SiteHome
    run_id: str

    def said(self, *arguments: str, status: int = 0) -> dict[str, Any]:
        """The object that `murmura ... --json` prints, in this process."""
        out = StringIO()
        with redirect_stdout(out):
            assert main([*arguments, "--json"]) == status, out.getvalue()
        found: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])
        return found

    @property
    def status(self) -> str:
        """Of the run, as the service tells it."""
        runs = status_of(facts_of(self.server) or {})["runs"]
        return next(str(run["status"]) for run in runs if run["run_id"] == self.run_id)

    def entries(self, home: Path, event: str) -> list[dict[str, Any]]:
        """What `murmura audit-log show` tells of one event."""
        found = self.said("audit-log", "show", str(home))["entries"]
        return [entry["detail"] for entry in found if entry["event"] == event]


# Those that a page shows as they are typed by people, and that would not end, or not here.
ELSEWHERE = {("client", "join"), ("client", "start"), ("client", "stop")}


def typed(page: str) -> list[list[str]]:
    """Commands in the console blocks of a page, but for a server's and a run's.

    `test_deployment_page.py` plays the former, `test_federation.py` the latter, with three sites.
    """
    blocks = re.findall(r"```console\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)
    lines = [line.partition("#")[0].partition(" > ")[0] for b in blocks for line in b.splitlines()]
    found = [shlex.split(line)[1:] for line in lines if line.startswith("murmura ")]
    return [words for words in found if words[0] not in {"server", "run", "runs"}]


def submit(home: ServerHome, folder: Path) -> str:
    """Build the app, sign it with the server's key, and submit it as `flwr run` does."""
    app = _copy_of_the_app(ROOT, folder / "murmura-app")
    (folder / "built").mkdir()
    flower_command("build", "--app", str(app), environment={}, folder=folder / "built")
    bundle = next((folder / "built").glob("*.fab")).read_bytes()
    signature = signature_of(read_app_key(home), bundle_content(bundle))
    chosen = SETTINGS | {"output.dir": str(home.runs), "output.bundle_signature": signature}
    config = " ".join(f"{key}={_toml(value)}" for key, value in chosen.items())
    return str(flower(home, folder, "run", str(app), "here", "--run-config", config)["run-id"])


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A server and a site, after one run and while both still serve."""
    folder = tmp_path_factory.mktemp("trail")
    site = SiteHome(folder / "site")
    with service(folder) as (home, _):
        line = murmura(home, "invite", "site-000000")["line"]
        found = Federation(home, site, "")
        at_home = ("--home", str(site.root))
        found.said(
            "client", "join", line, "--part", "0/1", "--allow-seeded-runs", "--epsilon", "200",
            "--delta", "0.01", *at_home,
        )  # fmt: skip
        found.said("client", "start", "--detach", *at_home)
        try:
            found = Federation(home, site, submit(home, folder))
            becomes_true(lambda: found.status.startswith("finished"), home, 300)
            assert found.status == "finished:completed"
            # The server looks at its runs once a second.
            becomes_true(lambda: b'"run_ended"' in home.audit.read_bytes(), home)
            yield found
        finally:
            found.said("client", "stop", *at_home)


@pytest.mark.integration
@pytest.mark.slow
def test_both_logs_are_whole_and_agree_on_what_left(federation: Federation) -> None:
    """Hash for hash, of one run, one plan, one bundle; and neither side refused anything."""
    for home in (federation.server.root, federation.site.root):
        assert federation.said("audit-log", "verify", str(home))["intact"]
        assert federation.entries(home, "refused") == []
        assert federation.entries(home, "started") != []
    left = federation.entries(federation.site.root, "left")
    arrived = federation.entries(federation.server.root, "arrived")
    assert Counter(entry["kind"] for entry in left) == {"enrol": 1, "train": 2}
    assert [entry["sha256"] for entry in left] == [entry["sha256"] for entry in arrived]
    assert {entry["run"] for entry in [*left, *arrived]} == {federation.run_id}
    [planned] = federation.entries(federation.site.root, "plan")
    [accepted] = federation.entries(federation.server.root, "plan")
    assert (planned["plan"], planned["run"]) == (accepted["plan"], accepted["run"])
    report = json.loads((federation.server.runs / "trail" / "report.json").read_text())
    assert planned["plan"] in json.dumps(report)
    [ended] = federation.entries(federation.server.root, "run_ended")
    assert ended == {"run": federation.run_id, "outcome": "completed"}


@pytest.mark.integration
@pytest.mark.slow
def test_the_report_says_that_the_site_claims_to_enforce(federation: Federation) -> None:
    """It ran through a guard, with a signed bundle."""
    report = json.loads((federation.server.runs / "trail" / "report.json").read_text())
    told = report["implementation"]["client_side_enforcement"]
    assert told.startswith("claimed by 1 of 1 sites")


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("side", ["server", "client"])
def test_the_doctor_finds_nothing_that_fails(federation: Federation, side: str) -> None:
    """At both ends, from the home of each: its exit status is 0."""
    home = federation.server.root if side == "server" else federation.site.root
    found = federation.said("doctor", "--home", str(home))
    assert found["failed"] == 0
    levels = {check["name"]: check["level"] for check in found["checks"]}
    assert levels["service"] == levels["audit log"] == levels["port"] == "ok"
    assert {name for name, level in levels.items() if level == "warn"} <= {
        "data", "policy", "roster", "sandbox", "disk", "gpu",
    }  # fmt: skip


@pytest.mark.integration
@pytest.mark.slow
def test_both_sides_tell_numbers_and_log_objects(federation: Federation) -> None:
    """The run's rounds and spending at the server, what left at the site; each line is JSON."""
    home, site = federation.server, federation.site
    internal = read_json(home.state / LISTENING)["internal"]
    told = httpx.get(f"http://127.0.0.1:{internal}/metrics", trust_env=False).text
    assert 'murmura_rounds_done{run="trail"} 2\n' in told
    assert 'murmura_survivors{run="trail"} 1\n' in told
    epsilon = re.findall(r'murmura_epsilon{run="trail"} ([\d.]+)', told)
    assert 0.0 < float(epsilon[0]) < 100.0
    assert 'murmura_site_left_total{kind="train"} 2\n' in site.metrics.read_text()
    for path in (home.logs / "serving.log", site.logs / "guard.log"):
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert {"time", "level", "event"} <= set.intersection(*map(set, lines))
    shown = federation.said("client", "logs", "--home", str(site.root))["lines"]
    assert any("connected" in line for line in shown)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("page", ["sites.md", "deployment.md"])
def test_every_command_of_the_pages_works(federation: Federation, page: str) -> None:
    """As it stands there, but for homes and hashes, which are other ones here."""
    site, server = str(federation.site.root), str(federation.server.root)
    known = federation.said("client", "roster", "--home", site)["fingerprint"]
    here = {
        "3f1016ced3de": "ab" * 32, "3f10 16ce ...": known, "/var/lib/murmura": server,
        "~/.murmura/client": site,
    }  # fmt: skip
    played = set()
    for words in typed(page):
        given = [here.get(word, word) for word in words if word not in {"--follow", "--json"}]
        home = ["--home", server if page == "deployment.md" else site]
        if tuple(words[:2]) in ELSEWHERE and "--print-systemd-unit" not in words:
            continue
        if "--print-systemd-unit" in words:
            assert main([*given, *home]) == 0
            continue
        federation.said(*given, *([] if words[0] == "audit-log" else home))
        played.add(" ".join(words[:2]))
    assert played >= {"audit-log verify", "audit-log head", "audit-log show"}
    assert any(name.startswith("doctor") for name in played)
