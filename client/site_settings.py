"""site.toml: who a site is, what its owner allows, how its worker runs; nothing in it is a secret.

Unknown keys are refused; nothing is converted but int -> float.
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from typing import Any, get_args, get_origin, get_type_hints

from client.policy import SitePolicy
from shared.config import Scalar
from shared.domains import check_domains, non_negative, one_of, positive
from shared.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class WhoseSite:
    """The table [site], as `murmura client join` wrote it.

    Attributes:
        name: The site's; known to the server and in the roster.
        server: Its address, host:port.
        authority: SHA-256 of the server's CA certificate, hexadecimal.
        app_key: Ed25519 public key that signs bundles and rosters, hexadecimal.
        data: Folder of the data; empty in a demonstration.
        ledger: Folder of the ledger; empty: in the home.
        ledger_name: The server's name in the ledger.
    """

    name: str
    server: str
    authority: str
    app_key: str
    data: str = ""
    ledger: str = ""
    ledger_name: str = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """The table [worker].

    Attributes:
        sandbox: required: no work without it; if-available; off.
        longest_s: Of one computation, whatever a run allows.
        answer_mib: Largest answer of a worker, and largest message of the server.
    """

    sandbox: str = field(default="if-available", metadata=one_of("required", "if-available", "off"))
    longest_s: float = field(default=3600.0, metadata=positive())
    answer_mib: int = field(default=1024, metadata=positive())


@dataclass(frozen=True, slots=True, kw_only=True)
class Demonstration:
    """The table [demonstration]: the site's data are a part of one data set; not for real data.

    Attributes:
        partition: 0-based number of the part.
        partitions: Number of parts; 0: this is a real site.
    """

    partition: int = field(default=0, metadata=non_negative())
    partitions: int = field(default=0, metadata=non_negative())


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSettings:
    """All of site.toml."""

    site: WhoseSite
    policy: SitePolicy = field(default_factory=SitePolicy)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    demonstration: Demonstration = field(default_factory=Demonstration)

    def __post_init__(self) -> None:
        """Refuse a site that has no data, or two kinds of them."""
        if bool(self.site.data) == bool(self.demonstration.partitions):
            raise ConfigurationError(
                "expected either site.data or demonstration.partitions, got "
                f"{self.site.data!r} and {self.demonstration.partitions}"
            )

    @classmethod
    def parse(cls, text: str) -> "SiteSettings":
        """The settings in `text`.

        Raises:
            ConfigurationError: no TOML, an unknown key, a wrong type, or a value outside its
                domain.
        """
        try:
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"site.toml is no valid TOML: {error}") from error
        tables = get_type_hints(cls)
        if unknown := sorted(set(content) - set(tables)):
            raise ConfigurationError(f"site.toml knows {sorted(tables)}, got {unknown}")
        if "site" not in content:
            raise ConfigurationError("site.toml needs the table [site], got none")
        return cls(**{name: section(tables[name], content[name], name) for name in content})

    def to_toml(self) -> str:
        """The inverse of `parse`."""
        return "\n".join(
            f"[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in table.items())
            for name, table in asdict(self).items()
        )

    def node_config(
        self, *, ledger: str, identity: str, roster: str, memory: str
    ) -> dict[str, Scalar]:
        """What `client.site` reads of a node, for this site.

        Args:
            ledger: Folder of the ledger in the home.
            identity: File of the identity key.
            roster: File of the accepted roster; empty: none is.
            memory: Folder of what is kept of runs.
        """
        config: dict[str, Scalar] = {
            "ledger": self.site.ledger or ledger,
            "server": self.site.ledger_name,
            "identity": identity,
            "roster": roster,
            "memory": memory,
            "allow-seeded-runs": self.policy.seeded_runs,
        }
        parts = self.demonstration
        if parts.partitions:
            return config | {
                "partition-id": parts.partition,
                "num-partitions": parts.partitions,
            }
        return config | {"name": self.site.name, "data": self.site.data}


def section(kind: type[Any], table: Any, name: str) -> Any:
    """`table` as a `kind`.

    Raises:
        ConfigurationError: unknown or missing key, wrong type, value outside its domain.
    """
    hints = get_type_hints(kind)
    if not isinstance(table, Mapping) or (unknown := sorted(set(table) - set(hints))):
        got = unknown if isinstance(table, Mapping) else type(table).__name__
        raise ConfigurationError(f"[{name}] knows {sorted(hints)}, got {got}")
    values = {key: _typed(f"{name}.{key}", table[key], hints[key]) for key in table}
    check_domains(kind, values, f"{name}.")
    needed = {spec.name for spec in fields(kind) if _is_needed(spec)}
    if missing := sorted(needed - values.keys()):
        raise ConfigurationError(f"[{name}] needs {missing}")
    return kind(**values)


def _is_needed(spec: Field[Any]) -> bool:
    return spec.default is MISSING and spec.default_factory is MISSING


def _typed(key: str, value: Any, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        if not isinstance(value, list) or any(type(entry) is not item for entry in value):
            raise ConfigurationError(f"{key} must be a list of {item.__name__}, got {value!r}")
        return tuple(value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise ConfigurationError(f"{key} must be of type {kind.__name__}, got {value!r}")
    return value


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    # JSON's texts, numbers and lists of texts are TOML's, but for one character.
    content = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
    return content.replace("\x7f", "\\u007f")
