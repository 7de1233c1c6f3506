"""A federation of real processes, killed and cut off in turn: the same model, each release once."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from client.home import SiteHome
from client.ledger import Ledger
from client.ledger_journal import JOURNAL
from server.home import ServerHome
from server.report.verify import verify
from shared.config import Scalar
from simulations.federation import simulate
from tests.client.test_guard import MODEL, SEEDED
from tests.integration.faults.deaths import SEEDS, WHOLE
from tests.integration.faults.federation import federation
from tests.integration.faults.proxies import DOWN, Proxy, proxies
from tests.integration.faults.runs import Run

EVERY_POINT = ("received", "masked", "kept", "committed", "sent", "done")
CONFIG: dict[str, Scalar] = SEEDED | {
    "privacy.noise": "distributed", "evaluation.private_every": 3, "privacy.epsilon_budget": 1e3,
    "cohort.timeout_s": 120.0,
}  # fmt: skip


def serving_killed(run: Run) -> None:
    """What serves sites and holds their messages; its service starts it again."""
    run.running.kill_child("server", "server.serving")


def server_app_killed(run: Run) -> None:
    """The run's own process."""
    run.running.kill_child("server", "flwr-serverapp")
    run.resume()


def superexec_killed(run: Run) -> None:
    """What starts ServerApps, and the one under way with it; started again by the service."""
    run.running.kill_child("server", "flower-superexec")
    app = "flwr-serverapp"
    gone = lambda: all(app not in line for line in run.running.children("server").values())  # noqa: E731
    run.running.wait_for(gone, 30.0)
    run.resume()


def service_killed(run: Run) -> None:
    """The service; whatever it had started ends with it."""
    children = run.running.children("server")
    run.running.kill("server")
    run.running.wait_for(lambda: not alive(children), 60.0)
    run.running.start_server()
    run.resume()


def service_stopped(run: Run) -> None:
    """As its operator stops and starts it."""
    run.running.end("server")
    run.running.start_server()
    run.resume()


def guard_killed(run: Run) -> None:
    """At a moment that nobody chose; its worker ends with it."""
    run.running.kill("site1")
    run.running.start_guard(1)


def worker_killed(run: Run) -> None:
    """While it computes: the round is in the site's ledger, and not answered."""
    journal = run.running.sites[2].ledger / JOURNAL
    before = journal.stat().st_size
    run.running.wait_for(lambda: journal.stat().st_size > before, 60.0)
    run.running.kill_child("site2", "client.worker")


def cut_off(run: Run) -> None:
    """A site's network, for 4 s: whatever was under way is lost, and nothing new begins."""
    proxy = run.ways[0]
    proxy.stalled = [True, True]
    time.sleep(4.0)
    proxy.cut()
    proxy.stalled = [False, False]


def one_way(run: Run) -> None:
    """What a site sends arrives and nothing comes back; then all of it comes late."""
    proxy = run.ways[1]
    proxy.stalled[DOWN] = True
    time.sleep(3.0)
    proxy.stalled[DOWN], proxy.delay_s = False, 0.25


def all_come_anew(run: Run) -> None:
    """Every connection of every site breaks, again and again."""
    for _ in range(10):
        for proxy in run.ways:
            proxy.cut()
        time.sleep(0.3)


def alive(children: Mapping[int, str]) -> bool:
    """Whether one of these processes is still what it was."""
    for pid, line in children.items():
        try:
            found = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if found and found == line:
            return True
    return False


Disturbance = Callable[[Run], None]
QUICK: tuple[Disturbance, ...] = (
    serving_killed, worker_killed, service_stopped, cut_off, one_way, all_come_anew
)  # fmt: skip
ALL = (*QUICK, server_app_killed, guard_killed, superexec_killed, service_killed)


def check_accounts(run: Run, whole: Path, sites: list[SiteHome]) -> None:
    """Charged once by the server, and by each site once for each of Flower's runs that asked.

    Whoever resumes gets a number of Flower's, and a site takes nobody's word that it is the same
    run: a round that was asked before and after is charged twice, for the same bytes.
    """
    rounds = [json.loads(line) for line in (whole / "charges.jsonl").read_text().splitlines()]
    charged = run.charged()
    assert charged == [(c["kind"], c["round_number"], c["attempt"]) for c in rounds]
    for site in sites:
        found = Ledger(site.ledger).reservations
        # A resume comes after a kill in one round, which may be asked in two ways.
        assert len(charged) <= len(found) <= len(charged) + 2 * run.resumes
        digests: dict[Any, set[str]] = {}
        for key, digest in found.items():
            digests.setdefault(key[2:], set()).update([] if digest is None else [digest])
        assert digests.keys() == set(charged)
        # Released, and noised once: what was sent again was the same.
        assert all(len(sent) == 1 for sent in digests.values())


def check_modes(home: ServerHome) -> None:
    """Nothing that anybody else could read, whoever died while writing it."""
    for path in home.root.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def outlived(
    folder: Path, seed: Scalar, disturbances: Sequence[Disturbance], points: Sequence[str] = ()
) -> None:
    """One run, disturbed once in each round but the last: the same as an undisturbed one.

    Args:
        folder: For everything.
        seed: Of both runs.
        disturbances: One after the other.
        points: At which the guard of the first site dies, too.
    """
    flat = CONFIG | {"rounds": len(disturbances) + 1, "seed": seed}
    whole = simulate(flat | {"output.dir": str(folder / "whole")})
    flat |= {"output.dir": str(folder / "deployed")}
    ways = list[Proxy]()

    def between(_site: int, port: int) -> int:
        ways.append(Proxy(port))
        return ways[-1].port

    with proxies(ways), federation(folder, 3, between=between) as running:
        running.start_guard(0, points)
        for index in (1, 2):
            running.start_guard(index)
        run = Run(running, flat)
        run.ways = ways
        for disturb in disturbances:
            run.next_round()
            started = time.monotonic()
            disturb(run)
            print(f"{disturb.__name__}: {time.monotonic() - started:.1f} s")  # noqa: T201
        assert running.outcome(run.run_id, 300.0) == "finished:completed", running.logs()
        assert not points or (folder / "deaths0").read_text() == ""
        check_modes(running.home)
    assert (run.folder / MODEL).read_bytes() == (whole / MODEL).read_bytes()
    check_accounts(run, whole, running.sites)
    assert not verify(run.folder)


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_outlives_everybody_who_plays_it(tmp_path: Path, seed: Scalar) -> None:
    """Server and sites killed in turn, the service stopped and started: one and the same run."""
    # One guard that dies at each of its points, too; its starts are most of what this test costs.
    outlived(tmp_path, seed, ALL if WHOLE else QUICK, EVERY_POINT if WHOLE else ())
