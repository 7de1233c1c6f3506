"""Between a session and whoever computes: what a client keeps of a run, and what of it may leave.

The installed code of the site decides here, not who trains: local layers are cut off before
anything is made of an update, and a control variate follows what left the client, after the clip,
so that the server's is the mean of the clients'.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from client.computing import Computing
from client.memory import CONTROL, ERROR, LOCAL, NOTHING, Kept, Memory
from client.site import ThisSite
from shared.compression import largest_few, quantised, snapped
from shared.dp.clipping import Vector
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import Randomness, RandomStream
from shared.dp.update_plan import QUANTISED, UpdatePlan
from shared.errors import MessageError
from shared.messages import TrainInstruction
from shared.query_messages import QueryInstruction
from shared.vectors import FlatVector

Bounded = Callable[[FlatVector | Vector], FlatVector | Vector]


class Keeping:
    """Of one run.

    Args:
        plan: What is sent and what is kept.
        run: The run's name.
        computing: Reads the records.
        randomness: Of rounding.
    """

    def __init__(
        self, plan: PrivacyPlan, run: str, computing: Computing, randomness: Randomness
    ) -> None:
        self._plan = plan
        self._run = run
        self._computing = computing
        self._randomness = randomness

    def update(
        self, site: ThisSite, instruction: TrainInstruction, bounded: Bounded
    ) -> FlatVector | Vector:
        """What leaves the site; the rest is kept, on disk, when this returns.

        Args:
            site: Who trains.
            instruction: What is asked.
            bounded: The movement of what is shared -> what may leave of it.

        Raises:
            MessageError: what was computed is too short.
            FederationError: as `Computing.update`, `bounded` and `Memory` raise it.
        """
        update, length = self._plan.update, len(instruction.parameters)
        if update is None:
            return bounded(self._computing.update(site, instruction, NOTHING))
        memory = Memory.of(site, self._plan, self._run)
        before = memory.before(instruction.round_number)
        found = self._computing.update(site, instruction, _told(before))
        if len(found) < length:
            raise MessageError(f"expected at least {length} numbers, got {len(found)}")
        # Secrecy: what lies behind the movement of what is shared does not leave.
        leaves = bounded(found[:length])
        after = {LOCAL: found[length:].astype(np.float32)}
        if update.compressed:
            number, attempt = instruction.round_number, instruction.attempt
            stream = self._randomness.stream("compression", site.client_id, number, attempt)
            # Guarantee: clipped, compressed, and clipped once more: what is sent has norm C at
            # most, whatever was left out of earlier updates. At record level both come after the
            # noise.
            vector = leaves.astype(np.float32)
            smaller, after[ERROR] = compressed(vector, before.get(ERROR, NOTHING), update, stream)
            leaves = snapped(bounded(smaller).astype(np.float32), update.compression)
        if update.controlled:
            half = length // 2
            control = before.get(CONTROL, np.zeros(half, dtype=np.float32))
            after[CONTROL] = control + leaves[half:length].astype(np.float32)
        memory.keep(instruction.round_number, before, after)
        return leaves

    def rows(self, site: ThisSite, instruction: QueryInstruction) -> NDArray[np.float64]:
        """As `Computing.rows`, of the model with the site's own layers.

        Raises:
            FederationError: as `Computing.rows` and `Memory` raise it.
        """
        layers = NOTHING
        if self._plan.update is not None:
            layers = Memory.of(site, self._plan, self._run).latest().get(LOCAL, NOTHING)
        return self._computing.rows(site, instruction, layers)


def _told(kept: Kept) -> FlatVector:
    """The control variate, then the local layers; of length 0 where nothing is kept."""
    vector: FlatVector = np.concatenate([kept.get(CONTROL, NOTHING), kept.get(LOCAL, NOTHING)])
    return vector


def compressed(
    vector: FlatVector, error: FlatVector, update: UpdatePlan, stream: RandomStream
) -> tuple[FlatVector, FlatVector]:
    """`vector` in fewer bytes, and what was left out of it, to be sent later.

    Args:
        vector: Clipped, or noised already.
        error: What was left out so far; of length 0: nothing.
        update: Which compression.
        stream: Of rounding.
    """
    if update.compression == QUANTISED:
        return quantised(vector, stream), NOTHING
    whole = vector + error if len(error) else vector
    sent = largest_few(whole, update.kept_share)
    return sent, whole - sent
