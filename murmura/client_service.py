"""The guard as a service: start, stop, status, logs."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from murmura.client_home import Home, opened, recorder
from murmura.machine import json_line
from murmura.options import Machine
from murmura.systemd_unit import guard_unit
from shared.counting import counted
from shared.ending import end_process
from shared.errors import FederationError, StateError
from shared.loading import loading
from shared.log_lines import readable

if TYPE_CHECKING:
    from client.home import SiteHome

_START_S, _STOP_S, _LOOK_S, _PROBED_S = 60.0, 60.0, 0.1, 0.5


def start(
    *,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave it running, and return when it does.")
    ] = False,
    print_systemd_unit: Annotated[
        bool, typer.Option("--print-systemd-unit", help="Print a unit for systemd, start nothing.")
    ] = False,
    home: Home = None,
    machine: Machine = False,
) -> None:
    """Run this site's guard: connections go out only, and nothing leaves but what you allow."""
    place, settings = opened(home)
    if print_systemd_unit:
        unit = guard_unit(place, settings.site, _command(place))
        typer.echo(json_line({"unit": unit}) if machine else unit, nl=machine)
        return
    _refuse_a_second(place)
    if detach:
        _say(machine, {"pid": _detached(place), "home": str(place.root)})
        return
    with loading():
        from client.service import Service, log_to  # noqa: PLC0415 - slow, needed by no help

    log_to(place.logs)
    service = Service(place, recorder(place))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    site = settings.site
    _say(machine, {"name": site.name, "server": site.server, "pid": os.getpid()})
    service.run()


def _refuse_a_second(place: "SiteHome") -> None:
    deadline = time.monotonic() + _PROBED_S
    # Whoever asks for the status holds the lock for a moment, as a guard does for good.
    while place.running() is not None:
        if time.monotonic() > deadline:
            raise StateError(f"a guard runs from {place.root} already")
        time.sleep(_LOOK_S)


def stop(*, home: Home = None, machine: Machine = False) -> None:
    """Stop the guard; a message that it had begun waits for its next start."""
    place, _ = opened(home)
    process = place.running()
    if process is not None and not end_process(
        process, lambda: place.running() is not None, _STOP_S
    ):
        raise FederationError(f"the guard (process {process}) did not stop in time")
    if machine:
        typer.echo(json_line({"stopped": process is not None}))
        return
    typer.echo("no guard runs" if process is None else "stopped")


def status(*, home: Home = None, machine: Machine = False) -> None:
    """How the guard is: connection, worker, certificate, budget, what waits."""
    from client.approval import Approvals  # noqa: PLC0415 - slow, and needed by no help
    from client.certificates import read_certificate  # noqa: PLC0415 - likewise
    from client.ledger import Ledger  # noqa: PLC0415 - likewise
    from shared.durable import read_json  # noqa: PLC0415 - likewise

    place, settings = opened(home)
    process = place.running()
    said = read_json(place.status) if process is not None else {}
    approvals = Approvals(place, settings.site.app_key)
    ledger = Ledger(Path(settings.site.ledger) if settings.site.ledger else place.ledger)
    content: dict[str, Any] = {
        "name": settings.site.name,
        "server": settings.site.server,
        "running": process,
        "state": said.get("state", "not running"),
        "messages": said.get("count", 0),
        "workers": said.get("workers", []),
        "certificate_expires": read_certificate(place.certificate).expires,
        "roster": place.roster.exists(),
        "bundles_waiting": sorted(set(approvals.seen()) - set(approvals.all())),
        "spent_epsilon": {name: ledger.spent(name) for name in sorted(ledger.blocks)},
        "granted_epsilon": {name: b.grant.epsilon for name, b in sorted(ledger.blocks.items())},
        "granted_delta": {name: b.grant.delta for name, b in sorted(ledger.blocks.items())},
        "unit": {name: b.grant.unit for name, b in sorted(ledger.blocks.items())},
    }
    if machine:
        typer.echo(json_line(content))
        return
    for line in _lines(content):
        typer.echo(line)


def logs(
    *,
    lines: Annotated[int, typer.Option(help="How many, from the end.")] = 50,
    worker: Annotated[bool, typer.Option("--worker", help="Of the worker.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="Go on as they come.")] = False,
    home: Home = None,
    machine: Machine = False,
) -> None:
    """Show the guard's log, or the worker's; neither is ever sent anywhere."""
    place, _ = opened(home)
    path = place.logs / ("worker.log" if worker else "guard.log")
    if not path.exists():
        raise StateError(f"expected a log in {path}, got none; it begins with the first start")
    with path.open(encoding="utf-8", errors="replace") as file:
        last = [line.rstrip("\n") for line in deque(file, maxlen=max(lines, 0))]
        if machine:
            typer.echo(json_line({"file": str(path), "lines": last}))
            return
        for line in last:
            typer.echo(readable(line))
        while follow:
            fresh = file.readline()
            typer.echo(readable(fresh.rstrip("\n"))) if fresh else time.sleep(_LOOK_S)


def _say(machine: bool, content: dict[str, Any]) -> None:
    typer.echo(
        json_line(content)
        if machine
        else ", ".join(f"{key} {value}" for key, value in content.items())
    )


def _lines(content: dict[str, Any]) -> list[str]:
    expires = time.strftime("%Y-%m-%d", time.gmtime(content["certificate_expires"]))
    handled = f", process {content['running']}, {counted(content['messages'], 'message')}"
    return [
        f"site         {content['name']} of {content['server']}",
        f"guard        {content['state']}{handled if content['running'] else ''}",
        *(f"worker       {_worker(each)}" for each in content["workers"]),
        f"certificate  until {expires}",
        f"roster       {'accepted' if content['roster'] else 'none accepted'}",
        *(f"waits        bundle {digest}" for digest in content["bundles_waiting"]),
        *(
            f"budget       {name}: epsilon {spent} of {content['granted_epsilon'][name]} at delta "
            f"{content['granted_delta'][name]:g} for one {content['unit'][name]}, all servers"
            for name, spent in content["spent_epsilon"].items()
        ),
    ]


def _worker(each: dict[str, Any]) -> str:
    if not each["process"]:
        return "rests, started when it is needed"
    return f"{each['process']}, shut off from {each['shut_in']}"


def _command(place: "SiteHome") -> list[str]:
    beside = Path(sys.executable).with_name("murmura")
    found = str(beside) if beside.exists() else shutil.which("murmura")
    program = [found] if found else [sys.executable, "-m", "murmura"]
    return [*program, "client", "start", "--home", str(place.root)]


def _detached(place: "SiteHome") -> int:
    """Process id of a guard that was started and stays."""
    log = place.logs / "start.log"
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "murmura", "client", "start", "--home", str(place.root)],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    deadline = time.monotonic() + _START_S
    while place.running() != process.pid:
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace").strip().splitlines()
            why = said[-1].removeprefix("error: ") if said else "no word"
            raise FederationError(f"the guard did not start: {why}")
        time.sleep(_LOOK_S)
    process.returncode = 0  # it outlives this command, which does not wait for it
    return process.pid
