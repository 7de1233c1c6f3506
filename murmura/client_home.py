"""What the commands of `murmura client` share: which home, and what its owner decided."""

import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shared.errors import ConfigurationError, StateError

if TYPE_CHECKING:
    from client.home import SiteHome
    from client.joining import Choices
    from client.recorder import Recorder
    from client.site_settings import SiteSettings

Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="The site's home. [dim]default: $MURMURA_CLIENT_HOME, or ~/.murmura/client[/dim]",
    ),
]
_TABLES = ("policy", "worker", "budget")
_EPSILON, _DELTA = 8.0, 1e-5


def opened(given: Path | None) -> "tuple[SiteHome, SiteSettings]":
    """A home from which a site joined, and its site.toml. Raises StateError, ConfigurationError."""
    from client.home import SiteHome  # noqa: PLC0415 - slow, and needed by no help
    from client.site_settings import SiteSettings  # noqa: PLC0415 - likewise

    home = SiteHome.chosen(given)
    home.check()
    try:
        return home, SiteSettings.parse(home.settings.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise StateError(f"{home.settings} cannot be read") from error


def recorder(home: "SiteHome") -> "Recorder":
    """Where what happens at a site is kept: its audit log, signed by its identity's key."""
    from client.identity import read_identity  # noqa: PLC0415 - slow, and needed by no help
    from shared.home_log import HomeLog  # noqa: PLC0415 - likewise

    return HomeLog(home.audit, lambda: read_identity(home.identity))


def decided(
    data: Path | None,
    file: Path | None,
    budget: Mapping[str, Any],
    part: str,
    *,
    seeded: bool,
) -> "Choices":
    """What the owner decided, from a file, from options, and asked where a person can answer.

    Args:
        data: Folder of the data.
        file: TOML with the tables policy, worker, budget.
        budget: epsilon, delta and unit, as far as they were given.
        part: "i/n" in a demonstration; empty: a real site.
        seeded: Whether seeded runs are allowed.

    Raises:
        ConfigurationError: something is missing or wrong.
    """
    from client.joining import Choices  # noqa: PLC0415 - likewise
    from client.ledger_state import Grant  # noqa: PLC0415 - likewise
    from client.policy import SitePolicy  # noqa: PLC0415 - likewise
    from client.site_settings import Demonstration, WorkerSettings, section  # noqa: PLC0415

    if (data is None) == (not part):
        raise ConfigurationError("expected either --data or, in a demonstration, --part i/n")
    tables = _tables(file)
    policy = tables["policy"] | ({"seeded_runs": True} if seeded else {})
    granted = _granted(tables["budget"] | {k: v for k, v in budget.items() if v is not None})
    index, _, count = part.partition("/")
    if part and not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise ConfigurationError(f"--part must be i/n with i below n, got {part!r}")
    name = "data" if data is None else data.name or "data"
    return Choices(
        data=data,
        grant=section(Grant, {"data_set": name, "block": "all"} | granted, "budget"),
        policy=section(SitePolicy, policy, "policy"),
        worker=section(WorkerSettings, tables["worker"], "worker"),
        demonstration=(
            Demonstration(partition=int(index), partitions=int(count)) if part else Demonstration()
        ),
    )


def check_name(choices: "Choices", name: str) -> None:
    """Refuse a demonstration's site that no roster would hold under the name its runs give it.

    Raises:
        ConfigurationError: it was invited under another name.
    """
    from client.site import demonstration_name  # noqa: PLC0415 - slow, and needed by no help

    parts = choices.demonstration
    if parts.partitions and name != demonstration_name(parts.partition):
        raise ConfigurationError(
            f"the site of --part {parts.partition}/{parts.partitions} must be invited as "
            f"{demonstration_name(parts.partition)!r}, which is its name in every run, got {name!r}"
        )


def _tables(file: Path | None) -> dict[str, dict[str, Any]]:
    content: dict[str, Any] = {}
    if file is not None:
        try:
            content = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigurationError(f"cannot read {file}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{file} is no valid TOML: {error}") from error
    if unknown := sorted(set(content) - set(_TABLES)):
        raise ConfigurationError(f"{file} knows the tables {list(_TABLES)}, got {unknown}")
    for name, table in content.items():
        if not isinstance(table, dict):
            raise ConfigurationError(f"{name} in {file} must be a table, got {table!r}")
    return {name: dict(content.get(name, {})) for name in _TABLES}


def _granted(budget: dict[str, Any]) -> dict[str, Any]:
    missing = [name for name in ("epsilon", "delta") if name not in budget]
    if missing and not sys.stdin.isatty():
        raise ConfigurationError(
            f"the privacy budget needs {' and '.join(f'--{name}' for name in missing)}, or a table "
            "[budget] in --policy"
        )
    asked = {
        name: typer.prompt(text, default=default, type=float, err=True)
        for name, text, default in (
            ("epsilon", "privacy budget: epsilon over all runs together", _EPSILON),
            ("delta", "privacy budget: delta, at most 1/(10 x records)", _DELTA),
        )
        if name in missing
    }
    return {"unit": "record"} | budget | asked
