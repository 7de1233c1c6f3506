"""From settings to a run that the service of this machine plays: checked, signed, submitted.

Everything that can be refused is refused before anything is sent. How many sites there are is
public: it is written into the settings, and fixed, before the run is.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from murmura.settings import Settings, settings_of_run
from murmura.simulate import fitted
from server.app_key import read_app_key, signature_of
from server.home import ServerHome
from server.local_client import facts_of, status_of
from server.progress_file import ProgressReader
from server.run_control import RunControl
from server.run_folder import SUMMARY, RunFolder, new_run_id
from shared.app_signatures import bundle_content
from shared.counting import counted
from shared.dp.claims import check_budget
from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError, FederationError, StateError

SIZE = "population.size"
_SIGNATURE = "output.bundle_signature"
_LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Submitted:
    """A run that was handed to the service.

    Attributes:
        home: The server's.
        name: Of its folder.
        number: Flower's.
        folder: Where its results will lie.
        control: Whom to ask of it.
        told: What it tells from now on.
    """

    home: ServerHome
    name: str
    number: str
    folder: Path
    control: RunControl
    told: ProgressReader


class Service:
    """The running service of a home, as far as a run needs it.

    Args:
        home: The server's.

    Raises:
        StateError: none runs, or it does not answer.
    """

    def __init__(self, home: ServerHome) -> None:
        home.check()
        facts = facts_of(home)
        if facts is None:
            raise StateError(
                f"expected a running service of {home.root}, got none; `murmura server start` "
                "starts it"
            )
        self._facts = facts
        self.control = RunControl(int(facts["internal"]))

    def sites(self) -> dict[str, bool]:
        """Every enrolled site, and whether it is online now."""
        found: Sequence[Mapping[str, Any]] = status_of(self._facts)["sites"]
        return {
            str(site["name"]): bool(site["online"]) for site in found if site["state"] == "active"
        }

    def named(self, text: str) -> str:
        """`text` of a run, with the name of each site in the place of Flower's number of it."""
        try:
            sites = status_of(self._facts)["sites"]
        except StateError:
            return text
        for site in sites:
            if site["node"]:
                text = re.sub(rf"\bnode {site['node']}\b", str(site["name"]), text)
        return text


def chosen_settings(settings: Settings, home: ServerHome, sites: int, *, quiet: bool) -> Settings:
    """A new run's settings: its folder in `home`, and as many clients as there are `sites`.

    Args:
        settings: As the user has them.
        home: The server's.
        sites: How many have joined.
        quiet: Say nothing of noise that was found for the budget.

    Raises:
        ConfigurationError: a wrong setting, no site, or a run of that name.
    """
    if settings["output.resume"]:
        raise ConfigurationError("output.resume is set by --resume RUN only")
    if settings.values[SIZE].origin == "default":
        if not sites:
            raise ConfigurationError("expected a site that has joined, got none")
        settings = settings.with_layer({SIZE: sites}, "sites that have joined")
    if not settings["output.run_id"]:
        made = {"output.run_id": new_run_id(str(settings["task"]))}
        settings = settings.with_layer(made, "made by murmura")
    name = str(settings["output.run_id"])
    if Path(name).name != name:
        raise ConfigurationError(f"output.run_id must be a name without folders, got {name!r}")
    if (home.runs / name).exists():
        raise ConfigurationError(
            f"there is a run {name} already; choose another output.run_id, or go on with it: "
            f"murmura run --resume {name}"
        )
    settings = _with_whole_path(settings).with_layer({"output.dir": str(home.runs)}, "--home")
    return fitted(settings, quiet=quiet)


def _with_whole_path(settings: Settings) -> Settings:
    """The run's process works elsewhere than who types: there a path from here leads nowhere."""
    given, folder = settings.values["data.dir"], Path(str(settings["data.dir"])).expanduser()
    if not given.value:
        return settings
    if not folder.is_dir():
        raise ConfigurationError(f"data.dir must be a folder here, got {folder} ({given.origin})")
    return settings.with_layer({"data.dir": str(folder.absolute())}, given.origin)


def resumed_settings(folder: Path) -> Settings:
    """The settings with which the run in `folder` goes on.

    Raises:
        StateError: no such run, a finished one, or one that goes on already.
    """
    settings = settings_of_run(folder)
    if (folder / SUMMARY).exists():
        raise StateError(f"the run {folder.name} is finished; there is nothing to resume")
    if RunFolder(folder).is_held():
        raise StateError(f"the run {folder.name} is under way; there is nothing to resume")
    return settings


def check(settings: Settings) -> None:
    """Nothing, if the run may be submitted.

    Raises:
        ConfigurationError: a wrong value, or a rule of aggregation that the plan does not allow.
        BudgetExhausted: the plan would spend more than its budget.
    """
    config = settings.config()
    plan = PrivacyPlan.from_config(config)
    check_budget(plan)
    if config.server.aggregation != "mean":
        from server.robust.choice import robust_of  # noqa: PLC0415 - slow: it brings torch

        robust_of(config, plan)


def wait_for_sites(
    service: Service, settings: Settings, seconds: float, say: Callable[[str], None]
) -> None:
    """Until enough sites are online for the run to begin.

    Raises:
        ConfigurationError: fewer have joined than it needs, or more are there than it has room for.
        FederationError: they did not come in time.
    """
    config = settings.config()
    size, needed = config.population.size, config.clients_at_start
    deadline, before = time.monotonic() + seconds, None
    while True:
        sites = service.sites()
        online = sorted(name for name, present in sites.items() if present)
        if len(sites) < needed:
            raise ConfigurationError(
                f"{SIZE} = {size} needs {counted(needed, 'site')} to begin with, got "
                f"{len(sites)} that have joined"
            )
        if len(online) > size:
            raise ConfigurationError(
                f"{SIZE} = {size} has room for {counted(size, 'site')}, got "
                f"{len(online)} that are online"
            )
        if online != before:
            away = sorted(sites.keys() - online)
            there = f"{len(online)} of {counted(len(sites), 'site')} online"
            rest = f"; not online: {', '.join(away)}" if away else ""
            say(f"{there}: {', '.join(online) or 'none'}{rest}")
            before = online
        if len(online) >= needed:
            return
        if time.monotonic() >= deadline:
            raise FederationError(
                f"expected {counted(needed, 'site')} online within {seconds:g} s, got {len(online)}"
            )
        time.sleep(_LOOK_S)


def submit(home: ServerHome, service: Service, settings: Settings, bundle: bytes) -> Submitted:
    """Sign `bundle` and hand it over with `settings`. Raises StateError and FederationError."""
    signature = signature_of(read_app_key(home), bundle_content(bundle))
    settings = settings.with_layer({_SIGNATURE: signature}, "made by murmura")
    name = str(settings["output.run_id"])
    folder = home.runs / name
    told = ProgressReader(folder)
    number = service.control.start(bundle, settings.raw())
    return Submitted(home, name, number, folder, service.control, told)
