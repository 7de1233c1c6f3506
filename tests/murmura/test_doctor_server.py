"""What is wrong at a server is found by name."""

from pathlib import Path
from typing import Any

import pytest

from murmura import doctor_server as doctor
from murmura.doctor_checks import Check
from server.authority import Issued
from server.founding import found
from server.home import ServerHome
from server.sites import Sites
from tests.server.served import SETTINGS, served
from tests.server.site_client import SiteKeys


def levels(checks: Any) -> dict[str, str]:
    """By name; the worst of each."""
    known: dict[str, str] = {}
    for check in checks:
        assert isinstance(check, Check)
        if known.get(check.name) != "fail":
            known[check.name] = str(check.level)
    return known


@pytest.fixture
def home(tmp_path: Path) -> ServerHome:
    """A new server's, which does not run."""
    made = ServerHome(tmp_path / "home")
    found(made, SETTINGS)
    return made


def test_a_server_that_does_not_run_fails_in_that_alone(home: ServerHome) -> None:
    """Nobody has joined it either."""
    found_levels = levels(doctor.server_checks(home))
    assert {name: level for name, level in found_levels.items() if level != "ok"} == {
        "service": "fail",
        "sites": "warn",
    }
    assert set(found_levels) >= {"home", "server.toml", "name", "certificate", "audit log", "disk"}


def test_a_home_that_is_wrong_fails(home: ServerHome) -> None:
    """Read by others; without settings."""
    home.pki.chmod(0o755)
    assert levels(doctor.server_checks(home))["home"] == "fail"
    home.settings_file.write_text("names = 3")
    assert levels(doctor.server_checks(home)) == {"home": "fail", "server.toml": "fail"}


def test_a_name_without_an_address_is_told() -> None:
    """It may have one where the sites are."""
    assert doctor.resolves("no-such-host.invalid").level == "warn"


def test_a_service_that_dies_over_and_over_is_told() -> None:
    """It runs all the same."""
    assert doctor.service({"pid": 1, "restarts": 0}).level == "ok"
    assert doctor.service({"pid": 1, "restarts": 3}).level == "warn"


def test_a_port_that_does_not_answer_fails() -> None:
    """By its address."""
    found_checks = list(doctor.ports({"[::1]:1": "ok", "127.0.0.1:1": "ConnectionRefusedError"}))
    assert [check.level for check in found_checks] == ["ok", "fail"]


@pytest.mark.no_cover
def test_sites_that_are_not_there_are_told(tmp_path: Path) -> None:
    """Of a service that runs; one that does not answer fails."""
    with served(tmp_path) as server:
        facts = {"internal": int(server.internal.rpartition(":")[2])}
        assert levels(doctor.running(facts))["sites online"] == "ok"
        server.enrol(SiteKeys("site-a"))
        [_, away] = doctor.running(facts)
        assert (away.level, "site-a" in away.text) == ("warn", True)
    assert levels(doctor.running(facts)) == {"internal port": "fail"}


@pytest.mark.parametrize(("days", "expected"), [(-1, "fail"), (3, "warn"), (60, "ok")])
def test_a_site_whose_certificate_ends_is_told(home: ServerHome, days: int, expected: str) -> None:
    """Its guard would have renewed it."""
    issued = Issued("", "1", 1e9 + days * 86400, "k")
    Sites(home).add("site-a", "node", "id", issued)
    found_checks = list(doctor.sites(Sites(home).all(), 1e9))
    assert found_checks[0].level == expected
