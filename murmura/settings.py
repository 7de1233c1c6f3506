"""A run's settings in layers, each value with where it came from.

defaults < a TOML file < `-c key=value` < named flags. Every layer is checked against the known
keys as it is read, so that a message can name the place of a mistake; types and domains are
checked once, on the whole, by `shared.config`.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from shared.config import RunConfig, Scalar, defaults
from shared.errors import ConfigurationError, StateError

_ORIGINS = "output.origins"  # bookkeeping of ours, no setting of the user's


@dataclass(frozen=True, slots=True)
class Setting:
    """A value, and where it came from: "default", "file run.toml", "-c", "--seed", ..."""

    value: Scalar
    origin: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Every known key with its value and origin; the mapping is never changed."""

    values: Mapping[str, Setting]

    def __getitem__(self, key: str) -> Scalar:
        """Value of one key."""
        return self.values[key].value

    def with_layer(self, layer: Mapping[str, Scalar], origin: str) -> "Settings":
        """The same settings with `layer` above them.

        Raises:
            ConfigurationError: a key is unknown; names the origin and the nearest known keys.
        """
        for key in layer:
            require_known(key, origin)
        above = {key: Setting(value, origin) for key, value in layer.items()}
        return Settings({**self.values, **above})

    def raw(self) -> dict[str, Scalar]:
        """What the federation is given: every key, flat, and the origins as JSON."""
        origins = {key: setting.origin for key, setting in self.values.items()}
        flat = {key: setting.value for key, setting in self.values.items()}
        return flat | {_ORIGINS: json.dumps(origins, sort_keys=True)}

    def config(self) -> RunConfig:
        """The checked configuration.

        Raises:
            ConfigurationError: a wrong type or domain; says where the value came from.
        """
        try:
            return RunConfig.from_run_config(self.raw())
        except ConfigurationError as error:
            blamed = self.values.get(str(error).partition(" ")[0])
            if blamed is None or blamed.origin == "default":
                raise
            raise ConfigurationError(f"{error} (from {blamed.origin})") from error


def default_settings() -> Settings:
    """Every known key at its default."""
    known = defaults()
    return Settings({key: Setting(known[key], "default") for key in known if key != _ORIGINS})


def named_flags(
    given: Mapping[str, tuple[str, Scalar | Path | None]],
) -> dict[str, tuple[str, Scalar]]:
    """Those flags that were given; paths as text."""
    return {
        key: (flag, str(value) if isinstance(value, Path) else value)
        for key, (flag, value) in given.items()
        if value is not None
    }


def layered(
    file: Path | None, assignments: Sequence[str], flags: Mapping[str, tuple[str, Scalar]]
) -> Settings:
    """The settings that the three layers above the defaults describe.

    Args:
        file: TOML file, or None.
        assignments: `key=value` texts; a later one wins.
        flags: Key -> (name of the named flag, value), only for flags that were given.
    """
    settings = default_settings()
    if file is not None:
        settings = settings.with_layer(read_file(file), f"file {file}")
    for text in assignments:
        key, value = parse_assignment(text)
        settings = settings.with_layer({key: value}, "-c")
    for key, (flag, value) in flags.items():
        settings = settings.with_layer({key: value}, flag)
    return settings


def read_file(path: Path) -> dict[str, Scalar]:
    """The values of a TOML file under flat, dotted keys.

    Raises:
        ConfigurationError: the file is missing, no TOML, or holds a list or a date.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or error
        raise ConfigurationError(f"cannot read the settings file {path}: {reason}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no valid TOML: {error}") from error
    return dict(_flatten(tables, "", f"file {path}"))


def _flatten(table: Mapping[str, Any], prefix: str, origin: str) -> Iterator[tuple[str, Scalar]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.", origin)
        else:
            yield prefix + name, _scalar(prefix + name, value, origin)


def _scalar(key: str, value: Any, origin: str) -> Scalar:
    if isinstance(value, str | int | float):
        return value
    raise ConfigurationError(
        f"{key} must be one text, number or truth value, got {value!r} (from {origin})"
    )


def parse_assignment(text: str) -> tuple[str, Scalar]:
    """Key and value of `key=value`; the value is a TOML scalar, a bare word is text.

    Where the key's default is text (but for `seed`, which may be a number), whatever stands there
    unquoted is text: `-c output.run_id=2024` is a name.

    Raises:
        ConfigurationError: no `=`, an unknown key, or a value that is a list or a table.
    """
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals:
        raise ConfigurationError(f"-c expects KEY=VALUE, got {text!r}")
    require_known(key, "-c")
    parsed = _toml_value(value.strip())
    if isinstance(defaults()[key], str) and key != "seed" and not isinstance(parsed, str):
        return key, value.strip()
    return key, _scalar(key, parsed, "-c")


def _toml_value(text: str) -> Any:
    try:
        document = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return _number_or_word(text)
    return document["value"] if document.keys() == {"value"} else text


def _number_or_word(text: str) -> Scalar:
    try:
        return float(text)  # ".5" and "1." are numbers to everybody but TOML
    except ValueError:
        return text


def require_known(key: str, origin: str) -> None:
    """Raise ConfigurationError, with the nearest known keys, if there is no such `key`."""
    known = [name for name in defaults() if name != _ORIGINS]
    if key in known:
        return
    last = key.rpartition(".")[2]
    near = [name for name in known if name.rpartition(".")[2] == last]
    near = near or get_close_matches(key, known, n=1, cutoff=0.5) or _near_in_section(key, known)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; see murmura simulate --list-keys"
    raise ConfigurationError(f"unknown configuration key {key!r} (from {origin}){hint}")


def _near_in_section(key: str, known: Sequence[str]) -> list[str]:
    """Keys whose last part resembles the last part of `key`."""
    last = key.rpartition(".")[2]
    by_last = {name.rpartition(".")[2]: name for name in known}
    return [by_last[part] for part in get_close_matches(last, by_last, n=1, cutoff=0.6)]


def settings_of_run(folder: Path) -> Settings:
    """The settings an interrupted run was started with, made ready to resume it.

    Raises:
        StateError: `folder` holds no readable `config.json`.
    """
    path = folder / "config.json"
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
        values = {key: Setting(entry["value"], entry["origin"]) for key, entry in saved.items()}
    except OSError as error:
        raise StateError(f"{folder} is no run folder: cannot read {path}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(f"{path} is not the settings of a run: {error!r}") from error
    settings = default_settings()
    for key, setting in values.items():
        if key != _ORIGINS:
            settings = settings.with_layer({key: setting.value}, setting.origin)
    place = folder.resolve()
    resume: dict[str, Scalar] = {
        "output.dir": str(place.parent),
        "output.run_id": place.name,
        "output.resume": True,
    }
    return settings.with_layer(resume, "--resume")
