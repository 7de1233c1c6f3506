"""What a client keeps of a run from round to round; none of it leaves the client.

Local layers, the control variate and what compression left out lie in one file for each client and
run, for their owner alone, replaced whole or not at all. It holds what was kept before the last
round and what after it: a round that is asked again begins where it began, whoever broke off, and a
run that goes on after a crash is the run without it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np

from client.kept import keep, kept
from client.site import ThisSite
from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError, StateError
from shared.vectors import FlatVector

_ROUND, _BEFORE, _AFTER = "round", "before/", "after/"
CONTROL, ERROR, LOCAL = "control", "error", "local"
NOTHING: FlatVector = np.zeros(0, dtype=np.float32)
Kept = Mapping[str, FlatVector]


@dataclass(frozen=True, slots=True)
class Memory:
    """Of one client and run.

    Attributes:
        path: Of the file, which may not be there yet.
    """

    path: Path = field(repr=False)

    @classmethod
    def of(cls, site: ThisSite, plan: PrivacyPlan, run: str) -> "Memory":
        """The memory of `site` for the run of that name and plan.

        Raises:
            ConfigurationError: the node has no place for it.
        """
        if site.memory is None:
            raise ConfigurationError(
                "this run keeps a part of the training at each client: expected the folder for it "
                "in the node config (memory), got none"
            )
        # Guarantee: another run, plan or client never begins with what this one kept.
        name = sha256("\0".join((site.server, run, plan.digest(), site.client_id)).encode())
        return cls(site.memory / f"{name.hexdigest()[:32]}.kept")

    def before(self, round_number: int) -> Kept:
        """What the client begins `round_number` with; nothing in its first.

        Raises:
            StateError: the file cannot be read, or is of a later round.
        """
        parts = kept(self.path)
        if not parts:
            return {}
        last = int(parts[_ROUND])
        if round_number < last:
            raise StateError(f"expected round {last} or a later one, got round {round_number}")
        return _vectors(parts, _BEFORE if round_number == last else _AFTER)

    def latest(self) -> Kept:
        """What the client kept last; nothing before its first round. Raises StateError."""
        return _vectors(kept(self.path), _AFTER)

    def keep(self, round_number: int, before: Kept, after: Kept) -> None:
        """Both are on disk. Raises StateError."""
        folder = self.path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"{folder} cannot be made: {error.strerror}") from error
        parts = {_ROUND: str(round_number).encode()}
        for prefix, found in ((_BEFORE, before), (_AFTER, after)):
            for name, vector in found.items():
                parts[prefix + name] = vector.astype("<f4", copy=False).tobytes()
        keep(self.path, parts)


def _vectors(parts: Mapping[str, bytes], prefix: str) -> Kept:
    return {
        name.removeprefix(prefix): np.frombuffer(content, dtype="<f4")
        for name, content in parts.items()
        if name.startswith(prefix)
    }
