"""Whoever asks anything is alive: of many sites none is taken for dead because the server is slow.

Flower marks a node offline that sent no heartbeat for a minute, and what it was asked is lost for
the round. Heartbeats of hundreds of sites queue behind everything else that they ask just then. A
request of a site whose certificate counts, to its own node, is a sign of life as good; these are
kept in memory and written down together, every few seconds.
"""

import time
from typing import Any

from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL, HEARTBEAT_PATIENCE
from flwr.supercore.constant import NodeStatus

_AT_ONCE = 500
_ALIVE_S = HEARTBEAT_PATIENCE * HEARTBEAT_DEFAULT_INTERVAL


class SignsOfLife:
    """Of the nodes in one of Flower's databases.

    Args:
        store: Anything of Flower's over the database.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self._heard: set[str] = set()

    def heard(self, node_key: str) -> None:
        """This node has asked for something."""
        self._heard.add(node_key)

    def write(self) -> None:
        """All that were heard of since the last time are alive for a minute from now.

        Who has said goodbye, or was gone for a minute, is offline until it comes back: this makes
        nobody online.
        """
        keys, self._heard = sorted(self._heard), set()
        until = time.time() + _ALIVE_S
        for start in range(0, len(keys), _AT_ONCE):
            some = {f"k{n}": k.encode() for n, k in enumerate(keys[start : start + _AT_ONCE])}
            names = ", ".join(f":{name}" for name in some)
            self._store.query(
                "UPDATE node SET online_until = :until WHERE online_until < :until "  # noqa: S608
                f"AND status = '{NodeStatus.ONLINE}' AND public_key IN ({names})",
                {"until": until, **some},
            )
