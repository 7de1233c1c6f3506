"""Who this node is, which data it holds, and what its owner allows.

A node's owner sets, in Flower's node config:

partition-id, num-partitions  a demonstration: which part of one data set is this node's
name, data                    a real site: its stable name, and the folder of its data
ledger                        the folder of its privacy ledger (murmura ledger); a demonstration
                              may do without
insecure-no-ledger            true: a real site that keeps none; the report says so
identity, roster              its Ed25519 key (PEM), and all sites' public keys (JSON); for secure
                              aggregation (murmura secagg identity); a demonstration may do without
server                        the name that the ledger gives the server; by default "server"
virtual-ledgers               a simulation: the folder of all its clients' ledgers
memory                        a folder, this owner's alone: what the site keeps of a run from round
                              to round and never sends, such as local layers
allow-seeded-runs             true: this node may train with noise that the server can predict;
                              for tests and simulation alone
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from flwr.app import Context, RecordDict

from shared.config import RunConfig, Scalar
from shared.errors import ConfigurationError, PrivacyError
from shared.partition import partition_spec
from shared.task_settings import Site, TaskSettings

_KEYS = {
    "partition-id", "num-partitions", "name", "data", "allow-seeded-runs",
    "ledger", "insecure-no-ledger", "server", "virtual-ledgers", "identity", "roster",
    "memory",
}  # fmt: skip


class Commitment(Protocol):
    """Something that must be on disk before a reply leaves."""

    def commit(self, *, resumed: bool) -> None:
        """Put it there. Raises PrivacyError or StateError, and then the reply does not leave.

        Args:
            resumed: The reply is one that was kept before a crash; so this may be the second time.
        """


@dataclass(frozen=True, slots=True)
class Node:
    """What Flower's context of a message says of this node.

    Attributes:
        config: As the node's owner set it.
        run_id: Flower's number of the run.
        state: Kept by Flower from one message of the run to the next, on this node.
        unsettled: Where whoever sends the reply finds what must be committed before it leaves;
            None: it is committed as soon as it is computed.
    """

    config: Mapping[str, Scalar]
    run_id: str = ""
    state: RecordDict = field(default_factory=RecordDict, repr=False)
    unsettled: "list[Commitment] | None" = None

    @classmethod
    def of(cls, context: Context) -> "Node":
        """The node that `context` is of."""
        return cls(context.node_config, str(context.run_id), context.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThisSite:
    """Name and data of one node.

    Attributes:
        client_id: Stable and opaque; known to the server.
        site: What a task is asked for.
        data_dir: The node's own data; None: wherever the run's configuration says.
        ledger: Folder of the site's ledger; None: it keeps none.
        virtual_ledgers: Folder of a simulation's ledgers; None: there are none.
        server: Name of the server in the ledger.
        identity: File of the site's identity key; None: it has none.
        roster: File of all sites' public keys; likewise.
        memory: Folder of what it keeps of a run; None: it has none.
    """

    client_id: str
    site: Site
    data_dir: Path | None
    ledger: Path | None = None
    virtual_ledgers: Path | None = None
    server: str = "server"
    identity: Path | None = None
    roster: Path | None = None
    memory: Path | None = None

    def settings(self, shared_settings: TaskSettings) -> TaskSettings:
        """The run's task settings with this node's own data folder, if it has one."""
        if self.data_dir is None:
            return shared_settings
        return replace(shared_settings, data_dir=self.data_dir)


def this_site(node_config: Mapping[str, Scalar], config: RunConfig) -> ThisSite:
    """The site that the node's owner and the run's configuration describe.

    Raises:
        ConfigurationError: the node config is incomplete, unknown, or does not fit the population.
        PrivacyError: the run is seeded and the node's owner does not allow it.
    """
    unknown = sorted(set(node_config) - _KEYS)
    if unknown:
        raise ConfigurationError(f"node config knows {', '.join(sorted(_KEYS))}, got {unknown}")
    if config.seeded and node_config.get("allow-seeded-runs") is not True:
        # Guarantee: whoever knows the seed can subtract the noise; the data's owner must say yes.
        raise PrivacyError(
            "this node trains with the operating system's randomness only (allow-seeded-runs is "
            "not set), got a seeded run"
        )
    if "partition-id" in node_config:
        return _demonstration(node_config, config)
    return _own_data(node_config)


def _own_data(node_config: Mapping[str, Scalar]) -> ThisSite:
    name, data = node_config.get("name"), node_config.get("data")
    if not (isinstance(name, str) and name and isinstance(data, str) and data):
        raise ConfigurationError(
            "node config must hold partition-id and num-partitions, or name and data, got "
            f"{sorted(node_config)}"
        )
    ledger = node_config.get("ledger")
    if not (isinstance(ledger, str) and ledger):
        if node_config.get("insecure-no-ledger") is not True:
            # Guarantee: without a ledger nothing at the site keeps a server from asking for ever.
            raise PrivacyError(
                "a site with data of its own needs a privacy ledger: make one by `murmura ledger "
                "set-budget` and name it in the node config's `ledger`, got none"
            )
        ledger = None
    return ThisSite(
        client_id=name,
        site=Site(index=0, partition=None),
        data_dir=Path(data),
        ledger=None if ledger is None else Path(ledger),
        server=str(node_config.get("server", "server")),
        identity=_path(node_config, "identity"),
        roster=_path(node_config, "roster"),
        memory=_path(node_config, "memory"),
    )


def _path(node_config: Mapping[str, Scalar], key: str) -> Path | None:
    value = node_config.get(key)
    return Path(value) if isinstance(value, str) and value else None


def demonstration_name(index: int) -> str:
    """Name of the client that holds partition `index` of a demonstration."""
    return f"site-{index:06d}"


def _demonstration(node_config: Mapping[str, Scalar], config: RunConfig) -> ThisSite:
    index, count = node_config["partition-id"], node_config.get("num-partitions")
    size = config.population.size
    if ignored := sorted({"name", "data"} & set(node_config)):
        raise ConfigurationError(
            f"node config must hold partition-id, or name and data, got both: {ignored}"
        )
    if count != size or type(index) is not int or not 0 <= index < size:
        raise ConfigurationError(
            f"expected partition-id below num-partitions = population.size = {size}, got "
            f"{index!r} of {count!r}"
        )
    site = Site(index=index, partition=partition_spec(config.population))
    virtual = node_config.get("virtual-ledgers")
    return ThisSite(
        client_id=demonstration_name(index),
        site=site,
        data_dir=None,
        ledger=_path(node_config, "ledger"),
        virtual_ledgers=Path(virtual) if isinstance(virtual, str) else None,
        server=str(node_config.get("server", "server")),
        identity=_path(node_config, "identity"),
        roster=_path(node_config, "roster"),
        memory=_path(node_config, "memory"),
    )
