"""What `make federation` does, with a seed: a server, three sites behind guards, `murmura run`."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array
from safetensors.numpy import load_file

from client.ledger import Ledger
from examples.federation import ROOT, SITES, Federation, running
from murmura.exit_codes import ExitCode
from server.progress import RoundFinished
from server.progress_file import Opened, ProgressReader
from server.report.verify import verify
from shared.config import Scalar
from simulations.federation import simulate

SEEDED: dict[str, Scalar] = {
    "task": "digits",
    "rounds": 3,
    "seed": 11,
    "population.examples_per_client": 100,
    "training.batch_size": 20,
    "privacy.noise": "distributed",
    "privacy.noise_multiplier": 1.63,
    "privacy.epsilon_budget": 100.0,
    "audit.canaries": 0,  # they exist in a simulation alone
    "output.tensorboard": False,
}
MODEL = "model.safetensors"
# How Flower begins what it sends: kind, parts, length.
OBJECT = re.compile(rb"(ArrayChunk|Array|ArrayRecord|RecordDict|Message) [0-9a-f,]* \d+\0")
pytestmark = [pytest.mark.integration, pytest.mark.slow]


def assigned(settings: dict[str, Scalar]) -> list[str]:
    """As options of `murmura run`."""
    words = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    return [part for word in words for part in ("-c", word)]


def at_server(federation: Federation, *words: str) -> "subprocess.Popen[str]":
    """A command of the server's machine, under way."""
    return subprocess.Popen(  # noqa: S603 - our own command line
        [sys.executable, "-m", "murmura", *words, "--home", str(federation.server)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(federation: Federation, name: str, **changes: Scalar) -> "subprocess.Popen[str]":
    """`murmura run`, under way."""
    settings = SEEDED | {key.replace("__", "."): value for key, value in changes.items()}
    named = assigned(settings | {"output.run_id": name})
    return at_server(federation, "run", *named, "--json")


def done(process: "subprocess.Popen[str]", status: int) -> dict[str, Any]:
    """What it printed last, having ended with `status`."""
    stdout, stderr = process.communicate(timeout=600)
    assert process.returncode == status, stdout + stderr
    content: dict[str, Any] = json.loads(stdout.splitlines()[-1])
    return content


def told(folder: Path) -> list[Any]:
    """All that a run has told so far."""
    return list(ProgressReader(folder, whole=True).new())


def after_round(folder: Path, number: int) -> int:
    """Waits until that round is done; the process that plays the run."""
    deadline, events = time.monotonic() + 300, list[Any]()
    while time.monotonic() < deadline:
        events = told(folder)
        if any(isinstance(e, RoundFinished) and e.round_number == number for e in events):
            return next(int(e.pid) for e in reversed(events) if isinstance(e, Opened))
        time.sleep(0.05)
    raise AssertionError(f"no round {number} in five minutes: {events}")


def state_on_disk(federation: Federation) -> bytes:
    """Every byte of what Flower and the service keep."""
    found = [path for path in (federation.server / "state").rglob("*") if path.is_file()]
    return b"\0".join(path.read_bytes() for path in found)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """One for all tests of this file."""
    folder = tmp_path_factory.mktemp("federation")
    with running(folder, seeded=True, quiet=True) as made:
        yield made


@pytest.fixture(scope="module")
def whole(federation: Federation) -> Path:
    """The folder of a run that nothing disturbed."""
    summary = done(run(federation, "whole"), ExitCode.OK)
    assert summary["status"] == "finished"
    return Path(summary["run_folder"])


def test_the_model_is_that_of_the_simulation_bit_for_bit(
    federation: Federation, whole: Path, tmp_path: Path
) -> None:
    """Across processes, TLS, guards, workers and masks; the report says what was deployed."""
    alike = SEEDED | {"population.size": SITES, "output.dir": str(tmp_path)}
    simulated = simulate(alike | {"output.run_id": "simulated"})
    assert (whole / MODEL).read_bytes() == (simulated / MODEL).read_bytes()
    report = json.loads((whole / "report.json").read_text())
    assert report["run"]["execution"] == "deployment"
    assert report["run"]["run_id"] == "whole"
    assert report["verdict"]["level"] == "not_private"  # it has a seed
    assert report["clients"]["count"] == SITES
    assert not verify(whole)
    settings = json.loads((whole / "config.json").read_text())
    assert settings["population.size"] == {"value": SITES, "origin": "sites that have joined"}
    assert settings["output.dir"]["value"] == str(federation.server / "runs")
    assert len(settings["output.bundle_signature"]["value"]) == 128
    for home in federation.joined:
        answered = Ledger(home / "ledger").reservations
        assert len(answered) == SEEDED["rounds"]
        assert None not in answered.values()


def test_nothing_of_a_run_lies_in_the_servers_state_in_clear(
    federation: Federation, whole: Path
) -> None:
    """Neither what was sent to the sites nor any object of Flower's."""
    state = state_on_disk(federation)
    assert b"pyproject.toml" in state  # the app bundle is no secret, and is found
    for name, values in load_file(whole / MODEL).items():
        if values.size > 100:
            assert values.ravel()[:64].astype(np.float32).tobytes() not in state, name
    assert OBJECT.search(Array(np.ones(3, dtype=np.float32)).deflate())
    assert not OBJECT.search(state)


def test_what_is_refused_on_this_machine_ends_with_its_own_status(federation: Federation) -> None:
    """3 for privacy's sake, 2 for wrong settings, 5 for a run that is none; nothing is sent."""
    refused = done(run(federation, "refused", privacy__epsilon_budget=0.01), ExitCode.PRIVACY)
    assert refused["kind"] == "privacy"
    assert "epsilon" in refused["error"]
    lonely = done(run(federation, "lonely", population__size=4), ExitCode.CONFIGURATION)
    assert "got 3 that have joined" in lonely["error"]
    missing = done(at_server(federation, "runs", "show", "refused", "--json"), ExitCode.DATA)
    assert missing["kind"] == "state"


def test_the_script_ends_with_the_status_of_what_failed_and_leaves_others_alone(
    federation: Federation,
) -> None:
    """Here a folder in which a server lives already: that goes on."""
    folder = str(federation.folder)
    command = [sys.executable, str(ROOT / "examples" / "federation.py"), "--folder", folder]
    failed = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    assert failed.returncode == ExitCode.DATA
    assert "$ murmura server init" in failed.stdout
    assert "ended with status 5" in failed.stderr
    assert done(at_server(federation, "server", "status", "--json"), ExitCode.OK)["running"]


def test_a_run_that_is_stopped_killed_and_restarted_gives_the_same_model(
    federation: Federation, whole: Path
) -> None:
    """Ctrl-C, kill -9 of its process, and a stop of the whole service; each time resumed."""
    folder = federation.server / "runs" / "parts"
    first = run(federation, "parts")
    after_round(folder, 1)
    first.send_signal(signal.SIGINT)
    assert "murmura run --home" in (first.communicate(timeout=120)[1])
    assert first.returncode == ExitCode.INTERRUPTED
    (listed,) = [
        entry
        for entry in done(at_server(federation, "runs", "list", "--json"), 0)["runs"]
        if entry["run"] == "parts"
    ]
    assert listed["status"] == "stopped"
    second = at_server(federation, "runs", "resume", "parts", "--json")
    os.kill(after_round(folder, 2), signal.SIGKILL)
    died = time.monotonic()
    assert "died" in done(second, ExitCode.FEDERATION)["error"]
    assert time.monotonic() - died < 30  # Flower itself takes a minute to see it
    federation.do("server", "stop", "--home", str(federation.server))
    assert done(run(federation, "nobody"), ExitCode.DATA)["kind"] == "state"
    federation.do("server", "start", "--detach", "--home", str(federation.server))
    third = at_server(federation, "run", "--resume", "parts", "--json")
    assert done(third, ExitCode.OK)["status"] == "finished"
    assert (folder / MODEL).read_bytes() == (whole / MODEL).read_bytes()
    shown = done(at_server(federation, "runs", "show", "parts", "--json"), ExitCode.OK)
    assert (shown["status"], shown["rounds_done"]) == ("finished", SEEDED["rounds"])
    assert {path.stat().st_mode & 0o077 for path in folder.rglob("*")} == {0}
