"""Domains of configuration values, kept beside each field as dataclass metadata."""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from shared.errors import ConfigurationError

_Check = tuple[str, Callable[[Any], bool]]


def positive() -> dict[str, _Check]:
    """Above zero and finite."""
    return {"domain": ("positive and finite", lambda value: math.isfinite(value) and value > 0)}


def non_negative() -> dict[str, _Check]:
    """At least zero and finite."""
    return {"domain": ("at least 0 and finite", lambda value: math.isfinite(value) and value >= 0)}


def fraction() -> dict[str, _Check]:
    """In (0, 1]."""
    return within(0.0, 1.0, open_left=True)


def within(
    low: float, high: float, *, open_left: bool = False, open_right: bool = False
) -> dict[str, _Check]:
    """Between `low` and `high`, the ends included unless said otherwise; NaN never is."""
    text = f"in {'(' if open_left else '['}{low:g}, {high:g}{')' if open_right else ']'}"

    def holds(value: float) -> bool:
        above = value > low if open_left else value >= low
        below = value < high if open_right else value <= high
        return above and below

    return {"domain": (text, holds)}


def one_of(*names: str | int) -> dict[str, _Check]:
    """One of a closed list of names or numbers."""
    return {"domain": (f"one of {', '.join(map(str, names))}", lambda value: value in names)}


def names_or_none(least: int) -> dict[str, _Check]:
    """Empty, or at least `least` different names in ascending order, with commas between them."""

    def holds(value: object) -> bool:
        found = value.split(",") if isinstance(value, str) else []
        several = len(found) >= least and all(found) and found == sorted(set(found))
        return value == "" or several

    return {"domain": (f"empty, or at least {least} names, ascending, a,b,c", holds)}


def share_or_count() -> dict[str, _Check]:
    """A share below one half, or a whole number of at least 1."""

    def holds(value: float) -> bool:
        return 0.0 <= value < 0.5 or (1.0 <= value < math.inf and value == int(value))

    return {"domain": ("a share below 0.5, or a whole number", holds)}


def check_domains(section: type[Any], values: Mapping[str, Any], prefix: str) -> None:
    """Raise ConfigurationError for the first of `values` outside its field's domain."""
    for spec in fields(section):
        if spec.name in values and "domain" in spec.metadata:
            text, holds = spec.metadata["domain"]
            if not holds(values[spec.name]):
                got = values[spec.name]
                raise ConfigurationError(f"{prefix}{spec.name} must be {text}, got {got!r}")
