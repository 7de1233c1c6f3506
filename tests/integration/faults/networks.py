"""A server and three sites with addresses of their own, on wires that lose, delay and break.

Not among the tests of CI, by its name: it takes minutes, and the right to make network namespaces
(`make faults`). `processes.py` does what can be done without them.
"""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection
from typing import Any

import pytest

from client.tls import authority_context, site_context
from shared.config import Scalar
from tests.client.test_guard import SEEDED
from tests.integration.faults.federation import Federation, federation
from tests.integration.faults.namespaces import within
from tests.integration.faults.runs import Run, rounds_of
from tests.integration.faults.wires import Network, network

DEADLINE_S, ROUNDS, SITES = 30.0, 5, 3
CONFIG: dict[str, Scalar] = SEEDED | {
    "rounds": ROUNDS, "privacy.epsilon_budget": 1e3, "cohort.timeout_s": DEADLINE_S,
    "cohort.minimum_survivors": 0.3, "cohort.attempts": 3,
}  # fmt: skip


ROUND_NUMBERS = range(1, ROUNDS + 1)


@dataclass
class Field:
    """What a case may do with."""

    net: Network
    running: Federation
    run: Run


def loss(field: Field) -> None:
    """Of 30 % of all packets, for the run's whole length but its last round."""
    for wire in field.net.wires:
        wire.set(loss=0.3)
    field.run.wait_for_round(ROUNDS)


def delay(field: Field) -> None:
    """Half a second, in each direction."""
    for wire in field.net.wires:
        wire.set(delay_s=0.5)
    field.run.wait_for_round(ROUNDS)


def cut_off(field: Field) -> None:
    """One site, for 20 s."""
    field.net.wires[1].set(loss=1.0)
    time.sleep(20.0)


def one_way(field: Field) -> None:
    """What a site sends arrives, and nothing comes back; then the other way round."""
    for way in (field.net.wires[2].down, field.net.wires[2].up):
        way.loss = 1.0
        time.sleep(15.0)
        way.loss = 0.0


def storm(field: Field) -> None:
    """The server's process is killed twice, and hundreds of connections are made meanwhile."""
    stop = threading.Event()
    crowds = [
        threading.Thread(target=_crowd, args=(field, index, stop)) for index in range(2 * SITES)
    ]
    for crowd in crowds:
        crowd.start()
    for _ in range(2):
        time.sleep(4.0)
        field.running.kill_child("server", "server.serving")
    time.sleep(8.0)
    stop.set()
    for crowd in crowds:
        crowd.join()


def _crowd(field: Field, index: int, stop: threading.Event) -> None:
    """Connections that end as soon as they stand, of a site and of strangers."""
    site = field.running.sites[index % SITES]
    authority = authority_context(site.authority.read_text())
    context: ssl.SSLContext = site_context(site) if index >= SITES else authority
    address = field.net.addresses[index % SITES]
    with within(field.net.places[f"site{index % SITES}"]):
        while not stop.is_set():
            with (
                suppress(OSError),
                create_connection((address, field.running.port), 2.0) as plain,
                context.wrap_socket(plain, server_hostname=address),
            ):
                pass


def nothing(field: Field) -> None:
    """Workers are started over it, which in the other cases would be half of the first round."""
    field.run.wait_for_round(ROUNDS)


CASES: dict[str, Callable[[Field], None]] = {
    "nothing": nothing,
    "30 % loss": loss, "500 ms delay": delay, "a site cut off for 20 s": cut_off,
    "one-way cut": one_way, "reconnect storm": storm,
}  # fmt: skip


@contextmanager
def under_way(folder: Path) -> Iterator[tuple[Network, Federation]]:
    """Server and guards, each at its own address."""
    with (
        network(SITES) as net,
        federation(folder, SITES, addresses=net.addresses, places=net.places) as running,
    ):
        for index in range(SITES):
            running.start_guard(index)
        yield net, running


def check_case(name: str, case: Callable[[Field], None], field: Field) -> dict[str, Any]:
    """Rounds end in time, and so does the run; once the network is well again, all take part."""
    field.run.wait_for_round(2)
    case(field)
    for wire in field.net.wires:
        wire.set()
    status = field.running.outcome(field.run.run_id, 3 * ROUNDS * DEADLINE_S * 1.1 + 60.0)
    rounds = rounds_of(field.run.folder)
    seconds = [round(line["seconds"], 1) for line in rounds]
    attempts = [sum(number == n for _, n, _ in field.run.charged()) for number in ROUND_NUMBERS]
    found = {"case": name, "status": status, "seconds": seconds,
             "attempts": attempts, "answered": [line["answered"] for line in rounds]}  # fmt: skip
    print(found, flush=True)  # noqa: T201
    assert status == "finished:completed", field.running.logs()
    for took, tried in zip(seconds, attempts, strict=True):
        assert took <= 1.1 * DEADLINE_S * tried
    assert rounds[-1]["answered"] == SITES
    return found


@pytest.mark.integration
@pytest.mark.slow
def test_rounds_end_in_time_whatever_the_network_does(tmp_path: Path) -> None:
    """By the deadline and a tenth; nobody waits for ever."""
    with under_way(tmp_path) as (net, running):
        for name, case in CASES.items():
            place = {"output.dir": str(tmp_path / "runs"), "output.run_id": case.__name__}
            run = Run(running, CONFIG | place)
            check_case(name, case, Field(net, running, run))
