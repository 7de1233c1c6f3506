"""Each thing that `murmura doctor` looks at can fail, and then says what to do."""

from pathlib import Path

import pytest

from murmura import doctor_checks as checks
from murmura.doctor_checks import Check, Level
from shared.audit_log import AuditLog
from shared.errors import StateError
from tests.shared.audit_logs import KEY, PUBLIC, STRANGER
from tests.test_packaging import pyproject

OWN = {"murmura": "1.0", "flwr": "1.41.0", "torch": "2.13.0+cpu", "opacus": "1.6.0"}


def level(check: Check) -> str:
    """How bad it is; whatever is wrong has an advice, and what is well has none."""
    assert check.text
    assert bool(check.advice) == (check.level is not Level.OK)
    return str(check.level)


@pytest.mark.parametrize(
    ("free", "expected"), [(1 << 20, "fail"), (1 << 30, "warn"), (1 << 40, "ok")]
)
def test_a_full_disk_fails(tmp_path: Path, free: int, expected: str) -> None:
    """Before a ledger cannot be written."""
    assert level(checks.disk(tmp_path, free)) == expected


def test_this_disk_is_looked_at(tmp_path: Path) -> None:
    """Where nothing is given."""
    assert "GiB free" in checks.disk(tmp_path).text


@pytest.mark.parametrize(("days", "expected"), [(-0.1, "fail"), (20.0, "warn"), (60.0, "ok")])
def test_a_certificate_that_ends_fails(days: float, expected: str) -> None:
    """One that should have been renewed is warned of."""
    assert level(checks.certificate(days, "renew it")) == expected


@pytest.mark.parametrize(
    ("ahead", "expected"),
    [(-301.0, "fail"), (6.0, "fail"), (-20.0, "warn"), (4.0, "warn"), (0.4, "ok")],
)
def test_a_clock_that_is_wrong_fails(ahead: float, expected: str) -> None:
    """Either way; a signature's time is checked."""
    assert level(checks.clock(ahead)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"), [({}, "ok"), ({"flwr": "1.40.0"}, "fail"), ({"torch": ""}, "fail")]
)
def test_another_flower_or_none_fails(changes: dict[str, str], expected: str) -> None:
    """Its private modules are used."""
    assert level(checks.versions(OWN | changes)) == expected


def test_the_versions_that_pass_are_those_of_the_packaging() -> None:
    """And what is installed here passes."""
    [flower] = [x for x in pyproject()["project"]["dependencies"] if x.startswith("flwr")]
    first, last = checks.FLOWER
    assert flower == f"flwr>={first},<1.{int(last.partition('.')[2]) + 1}"
    assert level(checks.versions(checks.installed())) == "ok"
    assert checks._version("no-such-distribution") == ""


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"murmura": "1.0", "flwr": "1.41.0"}, "ok"),
        ({}, "ok"),
        ({"murmura": "1.1", "flwr": "1.41.0"}, "warn"),
        ({"murmura": "1.0", "flwr": "1.42.0"}, "fail"),
    ],
)
def test_a_server_of_another_version_is_told(told: dict[str, str], expected: str) -> None:
    """Another Murmura's bundles wait for approval; another Flower may not be understood."""
    assert level(checks.same_versions(OWN, told)) == expected


def test_the_clocks_that_pass_are_those_of_flower() -> None:
    """Before and after the time of a signature."""
    from flwr.common.constant import SYSTEM_TIME_TOLERANCE, TIMESTAMP_TOLERANCE

    assert checks.MOST_AHEAD_S == SYSTEM_TIME_TOLERANCE
    assert checks.MOST_BEHIND_S == TIMESTAMP_TOLERANCE


@pytest.mark.parametrize(
    ("driver", "build", "usable", "expected"),
    [
        ("", "", False, "ok"), ("550.1", "12.4", True, "ok"), ("550.1", "", False, "warn"),
        ("450.1", "13.0", False, "warn"),
    ],
)  # fmt: skip
def test_a_gpu_that_torch_cannot_use_is_told(
    driver: str, build: str, usable: bool, expected: str
) -> None:
    """Of another build, or too old a driver."""
    assert level(checks.gpu(driver, build, usable)) == expected


def test_this_gpu_is_looked_at() -> None:
    """Whatever there is."""
    assert checks.this_gpu().name == "gpu"


def test_an_audit_log_that_was_changed_fails(tmp_path: Path) -> None:
    """Or is another key's, or whose key is not there; one that is not there yet is empty."""
    path = tmp_path / "audit.jsonl"
    assert level(checks.audit_log(path, lambda: PUBLIC)) == "ok"
    AuditLog(path, KEY).append("started", pid=1)
    assert checks.audit_log(path, lambda: PUBLIC).text == "1 entry, whole"
    assert level(checks.audit_log(path, STRANGER.public_key)) == "fail"
    path.write_bytes(path.read_bytes().replace(b'"pid":1', b'"pid":2'))
    assert "line 1: changed" in checks.audit_log(path, lambda: PUBLIC).text

    def no_key() -> None:
        raise StateError("no key")

    assert level(checks.audit_log(path, no_key)) == "fail"  # type: ignore[arg-type]
