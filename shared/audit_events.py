"""What an audit log may say: a closed set of events, each with a closed set of fields.

There is no field for free text: hashes, numbers, short codes and the names of sites, servers and
runs have forms that are checked when an entry is made. So nothing private gets into a log by way of
an exception's text or a path. Names are not private.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.errors import ConfigurationError

Detail = Mapping[str, str | int]
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Event:
    """Which fields an event has, and which it may have."""

    needs: tuple[str, ...]
    may_have: tuple[str, ...] = ()


# At a server, `site` is the other side; at a site, `server` is.
_PEER = ("site", "server")
EVENTS: Mapping[str, Event] = {
    "invited": Event(("site", "expires")),
    "joined": Event(
        (), (*_PEER, "serial", "expires", "authority", "node_key", "identity", "again")
    ),
    "renewed": Event(("serial",), (*_PEER, "expires")),
    "revoked": Event((), (*_PEER, "serial")),
    "approved": Event(("bundle",), ("server", "app_key", "unsigned")),
    "withdrawn": Event(("bundle",)),
    "roster": Event(("roster",), ("sites",)),
    "plan": Event(("run", "plan"), ("server", "rounds", "bundle")),
    "run_started": Event(("run",), ("bundle",)),
    "run_ended": Event(("run", "outcome")),
    "left": Event(
        ("kind", "run", "round", "attempt", "bytes", "sha256"), (*_PEER, "plan", "ledger_head")
    ),
    "arrived": Event(("kind", "run", "site", "sha256")),
    "refused": Event(
        ("reason",),
        (
            *_PEER, "kind", "run", "round", "attempt", "plan", "bundle", "serial", "bytes",
            "sha256", "address", "unrecorded_before",
        ),
    ),
    "started": Event(("pid",)),
    "stopped": Event(("pid",)),
    "child_died": Event(("child", "status")),
}  # fmt: skip


def _matches(pattern: str) -> Callable[[str | int], bool]:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _counts(value: str | int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST


_HASH = ("64 hexadecimal digits", _matches("[0-9a-f]{64}"))
_NAME = ("a name of at most 100 letters, digits, blanks and ._:-", _matches(r"[\w .:-]{1,100}"))
_CODE = ("a code of at most 40 small letters, digits and _", _matches("[a-z][a-z0-9_]{0,39}"))
_ADDRESS = ("an IP address", _matches("[0-9a-fA-F:.]{2,45}"))
_FLAG = ("true or false", lambda value: isinstance(value, bool))
_COUNT = ("a whole number of at least 0", _counts)
FIELDS: Mapping[str, tuple[str, Callable[[str | int], bool]]] = {
    "site": _NAME,
    "server": _NAME,
    "run": _NAME,
    "child": _NAME,
    "kind": _CODE,
    "reason": _CODE,
    "outcome": _CODE,
    "serial": ("at most 40 hexadecimal digits", _matches("[0-9a-f]{1,40}")),
    "authority": _HASH,
    "node_key": _HASH,
    "identity": _HASH,
    "bundle": _HASH,
    "app_key": _HASH,
    "roster": _HASH,
    "plan": _HASH,
    "sha256": _HASH,
    "ledger_head": _HASH,
    "again": _FLAG,
    "unsigned": _FLAG,
    "sites": _COUNT,
    "expires": _COUNT,
    "rounds": _COUNT,
    "round": _COUNT,
    "attempt": _COUNT,
    "bytes": _COUNT,
    "pid": _COUNT,
    "unrecorded_before": _COUNT,
    "status": ("a whole number", lambda value: type(value) is int and abs(value) <= _LARGEST),
    "address": _ADDRESS,
}


def check(event: str, detail: Detail) -> None:
    """Nothing, if an entry may say this.

    Raises:
        ConfigurationError: an event or field that is not declared, one that is missing, or a value
            of another form; the value is not shown, since it may be what must not be written down.
    """
    declared = EVENTS.get(event)
    if declared is None:
        raise ConfigurationError(f"expected an event of {sorted(EVENTS)}, got another")
    if missing := set(declared.needs) - detail.keys():
        raise ConfigurationError(f"{event} needs {sorted(declared.needs)}, without {missing}")
    if detail.keys() - {*declared.needs, *declared.may_have}:
        allowed = sorted({*declared.needs, *declared.may_have})
        raise ConfigurationError(f"{event} may have {allowed}, got other fields too")
    for name, value in detail.items():
        form, holds = FIELDS[name]
        if not holds(value):
            raise ConfigurationError(f"{event}: {name} must be {form}, got another value")
