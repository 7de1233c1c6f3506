"""`murmura runs`: the runs of this machine's server."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from murmura.machine import json_line
from murmura.options import Machine
from murmura.wording import epsilon_text
from shared.counting import counted
from shared.errors import StateError

if TYPE_CHECKING:
    from murmura.run_names import KnownRun
    from server.home import ServerHome

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="The runs of this machine's server: list, look at, stop, go on.",
)
Name = Annotated[
    str, typer.Argument(metavar="RUN", help="Name of its folder, or Flower's number of it.")
]
Home = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="[dim]default: $MURMURA_HOME, else ~/.murmura/server[/dim]"),
]


@app.command("list")
def list_runs(*, home: Home = None, machine: Machine = False) -> None:
    """Every run, oldest first, and how far it is."""
    found = _all(_home(home))
    lines = [_line(run) for run in found] or ["no run yet; `murmura run` starts one"]
    _tell(machine, {"runs": [run.to_json() for run in found]}, *lines)


@app.command()
def show(name: Name, *, home: Home = None, machine: Machine = False) -> None:
    """One run: how far it is, what ended it, where its results lie."""
    place = _home(home)
    run = _one(place, name)
    run = replace(run, why=_named(place, run.why))
    content = run.to_json() | {"files": _files(run.folder)}
    lines = [_line(run), *([run.why] if run.why else [])]
    lines += [f"{label:8}{path}" for label, path in content["files"].items()]
    _tell(machine, content, *lines)


@app.command()
def stop(name: Name, *, home: Home = None, machine: Machine = False) -> None:
    """End a run under way; it can be resumed from its last round."""
    from murmura.following import ends  # noqa: PLC0415 - slow, and needed by no help
    from murmura.submitting import Service  # noqa: PLC0415 - likewise

    place = _home(home)
    run = _one(place, name)
    if run.status not in {"waiting", "under way"}:
        raise StateError(f"expected a run under way, got one that is {run.status}")
    Service(place).control.stop(run.number)
    if not ends(run.folder):
        raise StateError(f"the run {run.name} was stopped, and its process has not ended")
    _tell(machine, {"run": run.name, "stopped": True}, f"{run.name} is stopped")


@app.command()
def resume(
    name: Name,
    *,
    app_folder: Annotated[
        Path | None, typer.Option("--app", metavar="DIR", help="As for `murmura run`.")
    ] = None,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long to wait for sites.")
    ] = 60.0,
    detach: Annotated[bool, typer.Option("--detach", help="Submit it and return.")] = False,
    home: Home = None,
    machine: Machine = False,
) -> None:
    """Go on with a run that was stopped or failed, under the same plan; as `run --resume`."""
    from murmura.chatter import quieten_libraries  # noqa: PLC0415 - slow, and needed by no help

    quieten_libraries(debug=False)  # before they are imported
    from murmura.playing import How, resumed  # noqa: PLC0415 - likewise
    from murmura.running import Output  # noqa: PLC0415 - likewise

    how = How(app=app_folder, wait_s=wait, detach=detach, output=Output(machine=machine))
    resumed(_home(home), name, how)


def _home(given: Path | None) -> "ServerHome":
    from server.home import ServerHome, default_home  # noqa: PLC0415 - needed by no help

    place = ServerHome((given or default_home()).expanduser().absolute())
    place.check()
    return place


def _all(home: "ServerHome") -> "list[KnownRun]":
    from murmura.run_names import known_runs  # noqa: PLC0415 - slow, and needed by no help
    from server.local_client import facts_of  # noqa: PLC0415 - likewise
    from server.run_control import RunControl  # noqa: PLC0415 - likewise

    facts = facts_of(home)
    submitted = RunControl(int(facts["internal"])).runs() if facts else []
    return known_runs(home, submitted)


def _named(home: "ServerHome", why: str) -> str:
    """With names of sites, where the service runs and can tell them."""
    from murmura.submitting import Service  # noqa: PLC0415 - slow, and needed by no help

    try:
        return Service(home).named(why) if why else why
    except StateError:
        return why


def _one(home: "ServerHome", name: str) -> "KnownRun":
    known = _all(home)
    found = [run for run in known if Path(name).name == run.name or name == run.number]
    if not found:
        raise StateError(f"expected a run of this server, got {name!r}; see `murmura runs list`")
    return found[-1]


def _line(run: "KnownRun") -> str:
    rounds = f"{run.rounds_done} of {counted(run.rounds, 'round')}" if run.rounds else "no round"
    epsilon = "" if run.epsilon is None else f", epsilon {epsilon_text(run.epsilon)} {run.meaning}"
    return f"{run.name}  {run.status}, {rounds}{epsilon}".rstrip()


def _files(folder: Path | None) -> dict[str, str]:
    names = {"model": "model.safetensors", "report": "report.json", "log": "log.txt"}
    if folder is None:
        return {}
    return {key: str(folder / n) for key, n in names.items() if (folder / n).exists()}


def _tell(machine: bool, content: Mapping[str, Any], *lines: str) -> None:
    if machine:
        typer.echo(json_line(content))
        return
    for line in lines:
        typer.echo(line)
