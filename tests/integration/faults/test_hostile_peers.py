"""Hostile peers at the public port of a real server, while a run waits for an honest answer."""

import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.node_pb2 import Node

from client.bundle import Bundle, BundleRefused
from server.home import LISTENING, ServerHome
from server.sites import Sites
from shared.durable import read_json
from tests.integration.faults.deaths import WHOLE, finishes
from tests.integration.faults.sieges import ATTACKS, Siege, enrolled, token_for
from tests.integration.service import becomes_true, joined, service
from tests.integration.test_service import next_message, status_of_run, submit
from tests.server.flower_run import activate, pushed, record_of, reply_to
from tests.server.site_client import FleetClient, SiteKeys, pem_of

MIB = 1 << 20
MOST_GROWTH = 50 * MIB
# Recorded requests that are sent again; malformed messages to each endpoint.
TIMES = {"replays": 1000 if WHOLE else 100, "sends_what_is_malformed": 10_000 if WHOLE else 15}
OTHERS = 1000 if WHOLE else 20


def resident(home: ServerHome) -> int:
    """Bytes of the serving process."""
    pages = Path(f"/proc/{read_json(home.state / LISTENING)['pid']}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def beating(nodes: Mapping[int, FleetClient]) -> Iterator[None]:
    """Both give signs of life, however long it takes."""
    stop = Event()

    def beat() -> None:
        while not stop.wait(10.0):
            for node, site in nodes.items():
                asked = SendNodeHeartbeatRequest(node=Node(node_id=node), heartbeat_interval=30.0)
                site.call("send-node-heartbeat", asked)

    with ThreadPoolExecutor(1) as threads:
        beats = threads.submit(beat)
        try:
            yield
        finally:
            stop.set()
            beats.result(30.0)


@pytest.mark.integration
@pytest.mark.slow
def test_a_siege_is_refused_costs_little_and_keeps_no_round_from_its_end(tmp_path: Path) -> None:
    """Typed errors alone, less than 50 MB, the same process, and the honest answer arrives."""
    update = np.arange(2000, dtype=np.float32)
    with service(tmp_path) as (home, _), joined(home, tmp_path) as honest:
        siege, serving = (
            Siege(home, honest.base, tmp_path, honest),
            read_json(home.state / LISTENING),
        )
        keys = SiteKeys("hostile")
        certificate = enrolled(siege, keys, token_for(siege, "hostile")).json()["certificate"]
        with siege.stranger(certificate, pem_of(keys.key)) as hostile, ExitStack() as alive:
            hostile.keys, siege.site = keys, hostile
            # Both are asked; what waits for the hostile site lets its requests reach Flower.
            alive.enter_context(beating({activate(site): site for site in (honest, hostile)}))
            run_id = submit(home, tmp_path)
            becomes_true((home.root / "asked").exists, home)
            before = resident(home)
            for attack in ATTACKS:
                attack(siege, TIMES.get(attack.__name__, OTHERS))
                grown = resident(home) - before
                print(f"{attack.__name__}: {siege.answers}, {grown:,} bytes more")  # noqa: T201
                assert grown < MOST_GROWTH
            assert read_json(home.state / LISTENING) == serving
        node, message = next_message(honest, home)
        pushed(honest, node, reply_to(message, record_of(update)))
        # Nobody waits for whoever is thrown out.
        with home.locked():
            Sites(home).revoke("hostile")
        becomes_true((home.root / "answered").exists, home)
        assert float((home.root / "answered").read_text()) == float(update.sum())
        becomes_true(lambda: status_of_run(home, run_id) == "finished:completed", home)


def test_a_bundle_of_ratio_a_thousand_is_refused_before_it_grows() -> None:
    """200 MiB of zeros in 200 kB: a site that is sent it needs no room for them."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("client/app.py", bytes(200 * MIB))
    whole = content.getvalue()
    assert 900 < 200 * MIB / len(whole) < 1100

    def open_it() -> None:
        start = _peak()
        with pytest.raises(BundleRefused):
            Bundle(whole)
        assert _peak() - start < MOST_GROWTH

    finishes(open_it)


def _peak() -> int:
    """The most bytes that this process has ever had."""
    [line] = [s for s in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in s]
    return int(line.split()[1]) << 10
