"""The service as it is installed: real processes, a run of Flower's, a site at the public port."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message

from server.home import LISTENING, ServerHome
from shared.durable import read_json
from tests.integration.flower_command import flower_command
from tests.integration.service import becomes_true, joined, murmura, processes_of, service
from tests.server.flower_run import activate, pulled, pushed, record_of, reply_to
from tests.server.site_client import (
    FleetClient,
)

UPDATE = np.random.default_rng(5).standard_normal(400_000).astype(np.float32)
TRACE = UPDATE.tobytes()[8000:8064]
# Asks every node once, and writes what it got, but not the numbers themselves.
SERVER_APP = """
import time
from pathlib import Path
import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()

@app.main()
def main(grid, context):
    while not (nodes := list(grid.get_node_ids())):
        time.sleep(0.1)
    content = RecordDict({"vectors": ArrayRecord({"update": Array(np.ones(4, dtype=np.float32))})})
    asked = [Message(content, dst_node_id=node, message_type="train") for node in nodes]
    ids = list(grid.push_messages(asked))
    Path("asked").write_text("yes")
    replies = []
    while len(replies) < len(ids):
        replies += list(grid.pull_messages(ids))
        time.sleep(0.1)
    whole = [r.content["vectors"]["update"].numpy() for r in replies if r.has_content()]
    total = sum(float(update.sum()) for update in whole)
    Path("answered").write_text(repr(total))
"""
CLIENT_APP = "from flwr.clientapp import ClientApp\n\napp = ClientApp()\n"
PROJECT = """
[project]
name = "tiny"
version = "0.1.0"
license = { text = "none" }
dependencies = []
[tool.flwr.app]
publisher = "murmura"
[tool.flwr.app.components]
serverapp = "tiny.server_app:app"
clientapp = "tiny.client_app:app"
[tool.flwr.app.config]
rounds = 1
"""


def submit(home: ServerHome, folder: Path) -> str:
    """`flwr run` over the internal port; the run's number."""
    app = folder / "tiny-app"
    (app / "tiny").mkdir(parents=True)
    (app / "tiny" / "__init__.py").write_text("")
    (app / "tiny" / "server_app.py").write_text(SERVER_APP)
    (app / "tiny" / "client_app.py").write_text(CLIENT_APP)
    (app / "pyproject.toml").write_text(PROJECT)
    return str(flower(home, folder, "run", str(app), "here")["run-id"])


def flower(home: ServerHome, folder: Path, *arguments: str) -> dict[str, Any]:
    """Flower's own command, which needs to know the internal port alone."""
    internal = read_json(home.state / LISTENING)["internal"]
    place = folder / "flwr"
    place.mkdir(exist_ok=True)
    (place / "config.toml").write_text(
        '[superlink]\ndefault = "here"\n[superlink.here]\n'
        f'address = "127.0.0.1:{internal}"\ninsecure = true\n'
    )
    alone = {"FLWR_HOME": str(place), "FLWR_DISABLE_UPDATE_CHECK": "1", "NO_PROXY": "127.0.0.1"}
    return flower_command(*arguments, "--format", "json", environment=alone)


def next_message(site: FleetClient, home: ServerHome) -> tuple[int, Message]:
    """What the site is asked next."""
    node = activate(site)
    found: list[Message] = []

    def asked() -> bool:
        message = pulled(site, node)
        found.extend([message] if message is not None else [])
        return bool(found)

    becomes_true(asked, home)
    return node, found[0]


def status_of_run(home: ServerHome, run_id: str) -> str:
    """As the server tells it."""
    runs = murmura(home, "status")["runs"]
    return next(str(run["status"]) for run in runs if run["run_id"] == run_id)


def bytes_of(folder: Path) -> bytes:
    """Every byte of the home."""
    return b"\0".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.integration
@pytest.mark.slow
def test_a_run_goes_through_the_public_port_and_leaves_no_update_behind(tmp_path: Path) -> None:
    """Although the serving process is killed while the run waits for its answer."""
    with service(tmp_path) as (home, facts), joined(home, tmp_path) as site:
        assert set(facts["health"].values()) == {"ok"}
        activate(site)
        run_id = submit(home, tmp_path)
        becomes_true((home.root / "asked").exists, home)
        os.kill(read_json(home.state / LISTENING)["pid"], signal.SIGKILL)
        dead = read_json(home.state / LISTENING)["pid"]
        becomes_true(lambda: read_json(home.state / LISTENING)["pid"] != dead, home)
        node, message = next_message(site, home)
        pushed(site, node, reply_to(message, record_of(UPDATE)))
        assert TRACE not in bytes_of(home.root)
        becomes_true((home.root / "answered").exists, home)
        assert float((home.root / "answered").read_text()) == float(UPDATE.sum())
        becomes_true(lambda: status_of_run(home, run_id) == "finished:completed", home)
        assert TRACE not in bytes_of(home.root)
        assert murmura(home, "status")["restarts"] == 1
        for path in home.root.rglob("*"):
            assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.integration
@pytest.mark.slow
def test_a_service_ends_with_all_its_processes_and_starts_again(tmp_path: Path) -> None:
    """By its command and by kill -9; its sites are still there."""
    with service(tmp_path) as (home, facts), joined(home, tmp_path) as site:
        activate(site)
        os.kill(facts["pid"], signal.SIGKILL)
        serving = read_json(home.state / LISTENING)["pid"]
        becomes_true(lambda: not Path(f"/proc/{serving}").exists(), home, 30)
        becomes_true(lambda: not processes_of(home), home, 30)
        again = murmura(home, "start", "--detach")
        assert again["pid"] != facts["pid"]
        (entry,) = murmura(home, "status")["sites"]
        assert (entry["name"], entry["state"]) == ("site-a", "active")
        murmura(home, "stop")
        assert not processes_of(home)
