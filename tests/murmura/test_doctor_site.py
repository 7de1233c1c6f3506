"""What is wrong at a site is found by name: network, home, ledger, policy, sandbox, service."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.approval import Approvals
from client.home import SiteHome
from client.ledger_state import Grant
from client.policy import SitePolicy
from murmura import doctor_site as doctor
from murmura.doctor_checks import Check, installed
from shared.durable import write_json
from tests.client.authorities import TestAuthority
from tests.client.made_sites import made_bundle, made_home, roster_of, settings_of
from tests.client.site_ledger import grant
from tests.client.site_server import SiteServer, listening

AUTHORITY = TestAuthority.new()


class WithHealth(SiteServer):
    """Tells how it is, too."""

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        """As a server of ours."""
        if path == "/health" and self.refusal is None:
            told = {"status": "ok", "time": time.time(), **installed()} | self.changes
            return 200, json.dumps(told).encode()
        return super().answer(path, body)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WithHealth]:
    """On loopback."""
    made = WithHealth(AUTHORITY)
    with listening(tmp_path, made):
        yield made


@pytest.fixture
def home(tmp_path: Path, server: SiteServer) -> SiteHome:
    """Of a site of that server."""
    return made_home(tmp_path / "home", AUTHORITY, name="site-a", address=server.address)


def levels(found: Iterator[Check]) -> dict[str, str]:
    """By name."""
    return {check.name: str(check.level) for check in found}


def test_a_healthy_site_fails_in_nothing_but_that_it_does_not_run(home: SiteHome) -> None:
    """With a roster; a demonstration's data and seeded runs are warned of."""
    write_json(home.roster, roster_of(home))
    with home.held():
        write_json(home.status, {"state": "connected"})
        found = levels(doctor.site_checks(home))
    found.pop("sandbox")  # this machine's
    assert {name: level for name, level in found.items() if level != "ok"} == {
        "data": "warn",
        "policy": "warn",
    }
    assert set(found) >= {"name", "port", "fingerprint", "server", "clock", "admission", "ledger"}
    assert levels(doctor.site_checks(home))["service"] == "fail"


def test_a_home_that_others_can_read_fails(home: SiteHome) -> None:
    """And one whose settings are none ends it."""
    home.pki.chmod(0o755)
    assert levels(doctor.site_checks(home))["home"] == "fail"
    home.settings.write_text("[policy]\nwrong = 3\n")
    assert levels(doctor.site_checks(home)) == {"home": "fail", "site.toml": "fail"}


def test_a_name_without_an_address_fails() -> None:
    """Whatever the port."""
    assert doctor.resolves("no-such-host.invalid").level == "fail"


def test_a_port_at_which_nothing_listens_fails(home: SiteHome) -> None:
    """And nothing is asked of it."""
    site = settings_of(made_home(home.root.parent / "other", AUTHORITY)).site
    found = levels(doctor.network(home, site))
    assert found == {"name": "ok", "port": "fail"}


def test_another_authority_fails(home: SiteHome, tmp_path: Path) -> None:
    """Somebody stands in between."""
    other = TestAuthority.new()
    with listening(tmp_path, made := WithHealth(other)):
        site = settings_of(
            made_home(tmp_path / "b", AUTHORITY, name="b", address=made.address)
        ).site
        assert levels(doctor.network(home, site))["fingerprint"] == "fail"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"status": "ill"}, "server"),
        ({"time": 1.0}, "clock"),
        ({"flwr": "1.0"}, "server's versions"),
    ],
)
def test_what_the_server_tells_may_fail(
    home: SiteHome, server: WithHealth, changes: dict[str, Any], name: str
) -> None:
    """Its state, its clock, its software."""
    server.changes = changes
    assert levels(doctor.network(home, settings_of(home).site))[name] == "fail"


def test_a_servers_words_are_cut_and_do_nothing_to_a_terminal() -> None:
    """It may be hostile; a number beyond all numbers is none of its time."""
    assert doctor.cut("1.0\x1b[2J" + "9" * 99) == "1.0[2J" + "9" * 33


def test_a_revoked_site_fails(home: SiteHome, server: WithHealth) -> None:
    """The server answers, and does not let it in."""
    server.refusal = (403, b'{"error": "certificate_refused", "text": "x"}')
    assert levels(doctor.network(home, settings_of(home).site))["server"] == "fail"
    assert doctor.admitted(home, settings_of(home).site).level == "fail"


def test_a_certificate_that_ends_or_is_none_fails(home: SiteHome) -> None:
    """By this machine's clock."""
    assert doctor.own_certificate(home, time.time()).level == "ok"
    assert doctor.own_certificate(home, time.time() + 91 * 86400).level == "fail"
    home.certificate.write_text("none")
    assert doctor.own_certificate(home, time.time()).level == "fail"


def test_data_that_are_gone_fail(tmp_path: Path) -> None:
    """A disk that is not mounted, say."""
    assert doctor.data(str(tmp_path)).level == "ok"
    assert doctor.data(str(tmp_path / "gone")).level == "fail"


def test_a_ledger_that_is_frozen_fails(home: SiteHome) -> None:
    """Here: its journal was cut."""
    assert levels(doctor.budget(home, settings_of(home)))["ledger"] == "ok"
    (home.ledger / "journal.jsonl").write_text("")
    assert levels(doctor.budget(home, settings_of(home))) == {"ledger": "fail"}


@pytest.mark.parametrize(("spent", "expected"), [(8.0, "fail"), (7.5, "warn"), (1.0, "ok")])
def test_a_budget_that_is_spent_fails(spent: float, expected: str) -> None:
    """Nearly spent: a warning."""
    assert doctor.left_of("all", grant(epsilon=8.0), spent).level == expected


@pytest.mark.parametrize(
    ("policy", "granted", "expected"),
    [
        (SitePolicy(), grant(unit="client"), "ok"),
        (SitePolicy(units=("record",)), grant(unit="client"), "fail"),
        (SitePolicy(most_epsilon=9.0), grant(epsilon=8.0), "warn"),
        (SitePolicy(seeded_runs=True), grant(), "warn"),
    ],
)
def test_a_policy_that_contradicts_the_budget_fails(
    policy: SitePolicy, granted: Grant, expected: str
) -> None:
    """No run could keep both."""
    assert doctor.agrees(policy, granted).level == expected


def test_a_roster_that_is_missing_wrong_or_too_small_is_told(home: SiteHome) -> None:
    """None is needed without secure aggregation."""
    assert doctor.roster(home, SitePolicy()).level == "warn"
    write_json(home.roster, roster_of(home))
    assert doctor.roster(home, SitePolicy()).level == "ok"
    assert doctor.roster(home, SitePolicy(smallest_cohort=2)).level == "fail"
    home.roster.write_text("{}")
    assert doctor.roster(home, SitePolicy()).level == "fail"


def test_a_bundle_that_waits_is_told(home: SiteHome) -> None:
    """And approvals that cannot be read."""
    approvals = Approvals(home, "")
    assert doctor.bundles(approvals).level == "ok"
    (home.bundles / f"{'ab' * 32}.fab").write_bytes(made_bundle())
    assert doctor.bundles(approvals).level == "warn"
    home.approved.write_text("[]")
    assert doctor.bundles(approvals).level == "fail"


@pytest.mark.parametrize(
    ("wanted", "why_not", "expected"),
    [
        ("required", "", "ok"), ("required", "unshare", "fail"), ("off", "", "warn"),
        ("if-available", "unshare", "warn"),
    ],
)  # fmt: skip
def test_a_worker_that_cannot_be_shut_in_fails_where_it_must_be(
    wanted: str, why_not: str, expected: str
) -> None:
    """Else it is warned of."""
    assert doctor.shut_in(wanted, why_not).level == expected


def test_this_machines_sandbox_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the program that starts workers; without it there is none."""
    assert isinstance(doctor.try_sandbox(), str)
    monkeypatch.setattr("client.sandbox.__file__", "/nowhere.py")
    assert doctor.try_sandbox() != ""


def test_a_guard_that_is_not_connected_fails(home: SiteHome) -> None:
    """It runs, and says why."""
    with home.held():
        write_json(home.status, {"state": "refused by the server"})
        assert "refused by the server" in doctor.service(home).text
        home.status.write_text("[")
        assert doctor.service(home).level == "fail"
