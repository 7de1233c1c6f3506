"""docs/deadlines.md: every figure in it is the code's, and every wait of the code is in it."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from client.policy import SitePolicy
from client.site_settings import WorkerSettings
from shared.config import defaults
from tests.test_house import written

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "deadlines.md").read_text()
CONSTANTS = re.findall(r"^\| `([\w.]+\.\w+)` \| ([\d.]+)(?: s| days)? \|", PAGE, flags=re.MULTILINE)
# Steps of a loop, waits for a lock, and what a command that a person watches waits for.
STEPS = {"_LOOK_S", "LOOK_S", "_LOCK_S", "_HELD_S", "_WATCH_S", "_AGAIN_S", "_OBJECT_WAIT_S"}
LOCAL = {
    "server.invitations._KEPT_S", "server.listener.STOP_S", "server.listener._FULL_S",
    "server.local_client._TIMEOUT_S", "server.peers.GRACE_S", "server.run_control._TIMEOUT_S",
    "server.seldom.EVERY_S", "server.service._LOGS_EVERY_S", "server.serving._BIND_FOR_S",
}  # fmt: skip


def value_of(name: str) -> Any:
    """The constant of that name."""
    module, _, constant = name.rpartition(".")
    return getattr(import_module(module), constant)


@pytest.mark.parametrize(("name", "told"), CONSTANTS)
def test_every_constant_of_the_page_is_the_codes(name: str, told: str) -> None:
    """By its name; private ones too, since they are what happens."""
    assert float(told) == float(value_of(name))


def test_every_wait_of_the_code_is_on_the_page() -> None:
    """A new constant in seconds or days is told, or is a step of a loop."""
    found = set()
    for path in sorted([*(ROOT / "client").rglob("*.py"), *(ROOT / "server").rglob("*.py")]):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for line in path.read_text().splitlines():
            if re.match(r"^[A-Z_0-9, ]+ = ", line):
                names = line.partition(" = ")[0].split(", ")
                found |= {f"{module}.{n}" for n in names if n.endswith(("_S", "_DAYS"))}
    assert len(found) > 20
    told = {name for name, _ in CONSTANTS}
    assert {name for name in found if name.rpartition(".")[2] not in STEPS} - LOCAL <= told
    assert found >= LOCAL


def test_every_key_of_the_page_has_its_default() -> None:
    """Of a run, and of a site."""
    keys = dict(re.findall(r"^\| `(cohort\.\w+)` \| (`[^`]*`) \|", PAGE, flags=re.MULTILINE))
    assert keys == {
        key: written(defaults()[key])
        for key in defaults()
        if key.startswith("cohort.") and key != "cohort.sample_rate"
    }
    site = dict(re.findall(r"^\| `(longest_s|hours)` \| (`[^`]*`) \|", PAGE, flags=re.MULTILINE))
    assert site == {
        "longest_s": written(WorkerSettings().longest_s),
        "hours": written(SitePolicy().hours),
    }


def test_an_invitation_ends_when_the_page_says() -> None:
    """The option's default."""
    import inspect

    from murmura.server import invite

    assert inspect.signature(invite).parameters["hours"].default == 24.0
    assert "`murmura server invite --hours` (24)" in PAGE
