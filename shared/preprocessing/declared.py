"""A table of a TOML file as a dataclass: nothing unknown, nothing missing, types as declared."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from shared.domains import check_domains
from shared.errors import ConfigurationError

T = TypeVar("T")


def declared(kind: type[T], table: object, place: str) -> T:
    """`table` as a `kind`, which is a dataclass; whole numbers may stand for fractions.

    Args:
        kind: Its fields are of text, number, truth value, either of them, or tuples of text.
        table: As TOML gives it.
        place: What messages call it.

    Raises:
        ConfigurationError: unknown or missing key, wrong type, value outside its domain.
    """
    if not isinstance(table, Mapping):
        raise ConfigurationError(f"{place} must be a table, got {type(table).__name__}")
    known = {spec.name: spec for spec in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(table) - set(known)):
        raise ConfigurationError(f"{place} knows {sorted(known)}, got {unknown}")
    needed = [name for name, spec in known.items() if spec.default is MISSING]
    if missing := [name for name in needed if name not in table]:
        raise ConfigurationError(f"{place} needs {missing}, got {sorted(table)}")
    hints = get_type_hints(kind)
    values = {name: _value(hints[name], table[name], f"{place}.{name}") for name in table}
    check_domains(kind, values, f"{place}.")
    return kind(**values)


def _value(hint: Any, value: Any, place: str) -> Any:
    if get_origin(hint) is tuple:
        if not (isinstance(value, list) and value and all(type(one) is str for one in value)):
            raise ConfigurationError(f"{place} must be a list of texts, got {value!r}")
        return tuple(value)
    kinds = get_args(hint) or (hint,)
    if float in kinds and type(value) is int:
        return float(value)
    if type(value) not in kinds:
        names = " or ".join(kind.__name__ for kind in kinds)
        raise ConfigurationError(f"{place} must be {names}, got {value!r}")
    return value
