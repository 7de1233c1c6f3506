"""Local layers on real nodes: kept for their owner alone, through restarts, and nowhere else."""

import signal
import stat
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from client.kept import kept
from client.memory import LOCAL
from examples.federation import ROOT, SITES, running
from murmura.exit_codes import ExitCode
from shared.config import Scalar
from simulations.federation import simulate
from tests.integration.superlink import SuperNode, deployment
from tests.integration.test_federation import (
    MODEL,
    SEEDED,
    after_round,
    at_server,
    done,
    run,
    state_on_disk,
)

ROUNDS = 8  # so that there is time for a break in between
PERSONAL: dict[str, Scalar] = SEEDED | {
    "rounds": ROUNDS, "model": "mlp", "training.local_layers": "3", "privacy.noise": "whole",
}  # fmt: skip
pytestmark = [pytest.mark.integration, pytest.mark.slow]


def simulated(folder: Path, clients: int, rounds: int = ROUNDS) -> tuple[Path, list[bytes]]:
    """The run in one process, and what its clients keep, in the order of contents."""
    found = simulate(
        PERSONAL
        | {
            "rounds": rounds,
            "population.size": clients,
            "output.dir": str(folder),
            "output.run_id": "simulated",
        }
    )
    return found, sorted(path.read_bytes() for path in (found / "clients").iterdir())


def remembered(folders: Sequence[Path]) -> list[bytes]:
    """What sites keep of the one run that they took part in; nobody else may read it."""
    found = []
    for folder in folders:
        (path,) = folder.iterdir()
        assert (stat.S_IMODE(folder.stat().st_mode), stat.S_IMODE(path.stat().st_mode)) == (
            0o700, 0o600,
        )  # fmt: skip
        found.append(path.read_bytes())
    return sorted(found)


def check_stays(folders: Sequence[Path], run_folder: Path, elsewhere: bytes) -> None:
    """No three neighbours of a local layer lie in the run's folder, or in `elsewhere`."""
    assert sorted(load_file(run_folder / MODEL)) == ["1.bias", "1.weight"]
    files = [path for path in run_folder.rglob("*") if path.is_file()]
    server = b"\0".join([elsewhere, *(path.read_bytes() for path in files)])
    # What is looked for is found where it is.
    shared = load_file(run_folder / MODEL)["1.weight"].ravel()
    assert shared[:3].astype("<f4").tobytes() in server
    for folder in folders:
        (path,) = folder.iterdir()
        own = np.frombuffer(kept(path)[f"after/{LOCAL}"], dtype="<f4")
        for start in range(0, len(own) - 2, 3):
            assert own[start : start + 3].tobytes() not in server


def test_sites_that_joined_keep_their_layers_through_a_restart(tmp_path: Path) -> None:
    """Nothing is set for it: `memory/` of each home. The run is the one without a break."""
    whole, expected = simulated(tmp_path / "simulated", SITES)
    with running(tmp_path / "federation", seeded=True, quiet=True) as federation:
        changes = {key.replace(".", "__"): value for key, value in PERSONAL.items()}
        first = run(federation, "personal", **changes)
        folder = federation.server / "runs" / "personal"
        after_round(folder, 1)
        first.send_signal(signal.SIGINT)
        first.communicate(timeout=120)
        assert first.returncode == ExitCode.INTERRUPTED
        restarted = federation.joined[0]
        federation.do("client", "stop", "--home", str(restarted))
        federation.do("client", "start", "--detach", "--home", str(restarted))
        resumed = at_server(federation, "runs", "resume", "personal", "--json")
        assert done(resumed, ExitCode.OK)["status"] == "finished"
        kept_in = [home / "memory" for home in federation.joined]
        assert (folder / MODEL).read_bytes() == (whole / MODEL).read_bytes()
        assert remembered(kept_in) == expected
        check_stays(kept_in, folder, state_on_disk(federation))


def test_stock_supernodes_keep_them_where_their_owner_says(tmp_path: Path) -> None:
    """By `memory` in the node config; there each round has a process of its own."""
    whole, expected = simulated(tmp_path / "simulated", 2, rounds=2)
    kept_in = [tmp_path / f"memory{index}" for index in range(2)]
    nodes = [
        SuperNode(
            config=f'partition-id={index} num-partitions=2 allow-seeded-runs=true memory="{folder}"'
        )
        for index, folder in enumerate(kept_in)
    ]
    changes: dict[str, Scalar] = {
        "rounds": 2, "population.size": 2, "output.dir": str(tmp_path), "output.run_id": "personal",
    }  # fmt: skip
    with deployment(ROOT, tmp_path, nodes) as federation:
        status = federation.run(PERSONAL | changes, timeout_s=240)
        assert status == "finished:completed", federation.log("superlink")[-5000:]
    folder = tmp_path / "personal"
    assert (folder / MODEL).read_bytes() == (whole / MODEL).read_bytes()
    assert remembered(kept_in) == expected
    check_stays(kept_in, folder, b"")
