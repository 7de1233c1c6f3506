"""Clients that are rejected again and again are asked no more in this run."""

import logging
from collections.abc import Mapping, Sequence

from server.robust.choice import Robust

_LOGGER = logging.getLogger("murmura.server")


class Quarantine:
    """Who was rejected how often.

    Without a robust rule nobody is ever struck: who is asked must then not depend on what clients
    send, since at client level the sampling is part of the guarantee.

    Args:
        robust: The run's rule, if it has one.

    Attributes:
        barred: How many of the cohort that was drawn last are not asked.
        rejected: Clients that were struck since `begin_round`.
    """

    def __init__(self, robust: Robust | None) -> None:
        self.robust = robust
        self.barred = 0
        self.rejected: list[str] = []
        self._strikes: dict[str, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Who is asked no more, ascending."""
        most = self.robust.strikes if self.robust else 0
        return tuple(sorted(c for c, strikes in self._strikes.items() if 0 < most <= strikes))

    def begin_round(self) -> None:
        """Nobody was rejected in this one yet."""
        self.rejected = []

    def admitted(self, drawn: Sequence[str]) -> tuple[str, ...]:
        """Those of a cohort who are still asked, in their order."""
        out = set(self.names)
        asked = tuple(client for client in drawn if client not in out)
        self.barred = len(drawn) - len(asked)
        return asked

    def strike(self, round_number: int, client: str, why: str) -> None:
        """Count one rejection of `client`."""
        if self.robust is None:
            return
        self.rejected.append(client)
        self._strikes[client] = self._strikes.get(client, 0) + 1
        if self._strikes[client] == self.robust.strikes:
            _LOGGER.warning(
                "round %d: %s was rejected %d times and is asked no more in this run: %s",
                round_number, client, self.robust.strikes, why,
            )  # fmt: skip

    def state(self) -> dict[str, int]:
        """Strikes by client, for a checkpoint."""
        return dict(self._strikes)

    def restore(self, state: Mapping[str, int]) -> None:
        """Take up what `state` gave."""
        self._strikes = dict(state)
