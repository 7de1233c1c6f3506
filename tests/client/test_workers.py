"""The workers of a guard: one for each bundle, not too many, and none for ever."""

import tempfile
from pathlib import Path

import pytest

from client.bundle import Bundle
from client.worker_process import Worker
from client.workers import Workers
from shared.config import RunConfig
from tests.client.authorities import TestAuthority
from tests.client.made_sites import made_bundle, made_home, settings_of
from tests.client.test_session import RAW

CONFIG = RunConfig.from_run_config(RAW)
BUNDLES = [Bundle(made_bundle(more={"client/n.py": str(n).encode()})) for n in range(3)]


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workers:
    """None of which is really started."""
    monkeypatch.setattr(Worker, "warm", lambda _: None)
    home = made_home(tmp_path / "home", TestAuthority.new())
    return Workers(home, settings_of(home))


def known(workers: Workers) -> list[str]:
    """Bundles that have one."""
    return [str(each["bundle"]) for each in workers.status()]


def test_runs_of_one_bundle_share_a_worker(workers: Workers) -> None:
    """It stays warm from run to run."""
    for bundle in (BUNDLES[0], BUNDLES[0]):
        workers.computing_for(bundle, CONFIG)
    assert known(workers) == [BUNDLES[0].hash]
    assert workers.status()[0] == {
        "bundle": BUNDLES[0].hash, "process": None, "shut_in": "not running", "starts": 0,
    }  # fmt: skip


def test_the_one_that_was_used_longest_ago_makes_room(workers: Workers) -> None:
    """Each holds a framework, and perhaps a GPU."""
    for bundle in (BUNDLES[0], BUNDLES[1], BUNDLES[0], BUNDLES[2]):
        workers.computing_for(bundle, CONFIG)
    assert known(workers) == [BUNDLES[0].hash, BUNDLES[2].hash]


def test_idle_ones_rest_and_all_end(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that computed lately goes on."""
    closed: list[str] = []
    monkeypatch.setattr(Worker, "close", lambda worker: closed.append(worker._bundle.hash))
    for bundle in BUNDLES[:2]:
        workers.computing_for(bundle, CONFIG)
    workers._known[BUNDLES[0].hash].last_used -= 100.0
    workers.rest(50.0)
    assert closed == [BUNDLES[0].hash]
    workers.end()
    assert closed == [BUNDLES[0].hash, BUNDLES[0].hash, BUNDLES[1].hash]


def test_what_a_killed_guard_left_is_removed(tmp_path: Path, workers: Workers) -> None:
    """Of this home alone."""
    mine, other = (
        Path(tempfile.mkdtemp(prefix=prefix)) for prefix in (workers._place.prefix, "murmura-x-")
    )
    (mine / "app").mkdir()
    workers.sweep()
    assert not mine.exists()
    assert other.exists()
    other.rmdir()
    assert tmp_path.exists()


def test_a_ledger_elsewhere_is_hidden_too(tmp_path: Path) -> None:
    """With all of the home."""
    home = made_home(tmp_path / "home", TestAuthority.new())
    text = home.settings.read_text().replace('ledger = ""', 'ledger = "/srv/ledger"')
    home.settings.write_text(text)
    hidden = Workers(home, settings_of(home))._place.hidden
    assert hidden == (home.root, Path("/srv/ledger"))
