"""The app bundle of what is installed here: client, server and shared, and nothing else of ours.

Built by Flower's own builder, in memory: the same installation gives the same bytes, and a site
that has the same version installed finds no line of foreign code in it. A task of one's own is
added beside our packages; then every site is asked once for its word.
"""

import json
import tomllib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from flwr.cli.build import build_fab_from_files

import client
from shared.config import Scalar, defaults
from shared.errors import ConfigurationError, StateError

PACKAGES = ("client", "server", "shared")
_ROOT = Path(client.__file__).parents[1]
_DESCRIPTION = "pyproject.toml"
_HEAD = """\
[project]
name = "murmura"
version = {version}
description = "Privacy-preserving federated learning whose privacy can be checked"
license = {{ text = "see the repository" }}
dependencies = []

[tool.flwr.app]
publisher = "murmura"

[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "client.app:app"
"""


def installed_bundle(root: Path = _ROOT) -> bytes:
    """The bundle of the packages below `root`. Raises StateError if Flower refuses them."""
    return _built(_installed_files(root))


def bundle_with(folder: Path, root: Path = _ROOT) -> bytes:
    """The same, and what `folder` adds: a task of one's own.

    Args:
        folder: With Python modules; a pyproject.toml in it may name in `[tool.flwr.app]
            fab-include` and `fab-exclude` which files, by Flower's patterns. Its `[project]` and
            its settings do not count: they come by the command line.
        root: Where our packages lie.

    Raises:
        ConfigurationError: no such folder, nothing in it, or a name that is one of ours.
        StateError: Flower refuses what is in it.
    """
    added = _added_files(folder)
    if taken := sorted({name.partition("/")[0] for name in added} & set(PACKAGES)):
        raise ConfigurationError(
            f"{folder} must hold no folder that is named like one of Murmura's, got {taken}"
        )
    return _built(_installed_files(root) | added)


def _installed_files(root: Path) -> dict[str, bytes | Path]:
    files: dict[str, bytes | Path] = {
        path.relative_to(root).as_posix(): path
        for package in PACKAGES
        for path in sorted((root / package).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    return files | {_DESCRIPTION: description().encode()}


def _added_files(folder: Path) -> dict[str, bytes | Path]:
    from flwr.cli.build import get_filtered_fab_paths  # noqa: PLC0415 - beside its use
    from flwr.cli.utils import collect_files, filter_paths_for_publish  # noqa: PLC0415 - likewise

    if not folder.is_dir():
        raise ConfigurationError(f"--app must be a folder, got {folder}")
    own = folder / _DESCRIPTION
    try:
        asked = tomllib.loads(own.read_text(encoding="utf-8")) if own.exists() else {}
        files: Mapping[str, bytes | Path] = filter_paths_for_publish(collect_files(folder))
        chosen = get_filtered_fab_paths(dict(files), asked)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{folder} cannot be bundled: {error}") from error
    found = {name: files[name] for name in chosen if name != _DESCRIPTION}
    if not any(name.endswith(".py") for name in found):
        raise ConfigurationError(f"expected Python modules in {folder}, got none")
    return found


def _built(files: Mapping[str, bytes | Path]) -> bytes:
    try:
        return build_fab_from_files(files)[0]
    except ValueError as error:
        raise StateError(f"Flower makes no bundle of this: {error}") from error


def description() -> str:
    """The bundle's pyproject.toml: its two apps, and every setting at its default."""
    try:
        own = version("murmura")
    except PackageNotFoundError:
        own = "0"
    return _HEAD.format(version=json.dumps(own)) + "".join(_tables(defaults()))


def _tables(flat: Mapping[str, Scalar]) -> list[str]:
    tables: dict[str, list[tuple[str, Scalar]]] = {}
    for key, value in flat.items():
        section, _, name = key.rpartition(".")
        tables.setdefault(section, []).append((name, value))
    return [
        f"\n[{'.'.join(filter(None, ('tool.flwr.app.config', section)))}]\n"
        + "".join(f"{name} = {_toml(value)}\n" for name, value in entries)
        for section, entries in sorted(tables.items())
    ]


def _toml(value: Any) -> str:
    # A text of JSON is one of TOML too; a number of Python likewise.
    return json.dumps(value) if isinstance(value, str | bool) else repr(value)
