"""Several clients at a time, each trained by the trainer that is deployed, in a thread of its own.

Torch lets go of Python's lock while it computes, so as many clients train as there are processors,
with one torch thread each: on a small model two threads of one are nearly twice as fast as one of
two. Bit for bit what one after another would give.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from threading import local
from typing import TYPE_CHECKING

import torch

from client.in_process import InProcess
from client.trainer import LocalTraining
from client.update import leaving
from shared.dp.clipping import Vector, add_clipped
from shared.dp.mechanisms import CLIENT_LEVEL, Mechanism
from shared.errors import FederationError
from shared.messages import TrainInstruction
from shared.spans import span
from shared.task import Examples, Task
from shared.vectors import FlatVector

if TYPE_CHECKING:
    from simulations.reading import Client

_AHEAD = 2  # clients that wait for each thread: bounds memory, keeps threads busy


class Threads:
    """See `simulations.cohort_engine.Method`.

    Args:
        computing: Makes trainers.
        task: Of the run.
        mechanism: Clips at client level.
        count: How many threads; one where the model draws random numbers.
    """

    def __init__(
        self, computing: InProcess, task: Task, mechanism: Mechanism, *, count: int
    ) -> None:
        self._computing = computing
        self._task = task
        self._mechanism = mechanism
        self._count = count
        self._pool: ThreadPoolExecutor | None = None
        self._own = local()

    def add(
        self, total: Vector, instruction: TrainInstruction, clients: "Iterable[Client]"
    ) -> Mapping[str, str]:
        """As `Method.add`; a client that fails is as one whose app raises."""
        failed: dict[str, str] = {}
        bound = instruction.clipping_norm if isinstance(self._mechanism, CLIENT_LEVEL) else None
        others = iter(clients)
        first = next(others, None)
        if first is None:
            return failed
        if self._pool is None:
            # Dropout draws from torch's one generator: one client after another.
            self._count = 1 if draws(self._task, first.examples) else self._count
            self._pool = ThreadPoolExecutor(self._count, "murmura-client")
        for name, future in self._started(self._pool, instruction, chain([first], others)):
            try:
                update = future.result()
                with span("aggregate"):
                    # As the server clips what it gets once more.
                    add_clipped(total, [update], bound)
            except FederationError as error:
                failed[name] = f"{type(error).__name__}: {error}"
        return failed

    def _started(
        self,
        pool: ThreadPoolExecutor,
        instruction: TrainInstruction,
        clients: "Iterator[Client]",
    ) -> "Iterator[tuple[str, Future[FlatVector]]]":
        """Each client's update to come, in order; no more of them under way than are needed."""
        waiting: list[tuple[str, Future[FlatVector]]] = []
        for client in clients:
            future = pool.submit(self._update, instruction, client)
            waiting.append((client.turn.client_id, future))
            if len(waiting) > self._count * _AHEAD:
                yield waiting.pop(0)
        yield from waiting

    def _update(self, instruction: TrainInstruction, client: "Client") -> FlatVector:
        """What the client would send."""
        with span("data"):
            examples = client.examples
        moved = self._trainer().moved(instruction.parameters, examples, client.turn)
        with span("clip"):
            update = moved.astype("float32", copy=False)
            return leaving(update, self._mechanism, instruction.clipping_norm)

    def _trainer(self) -> LocalTraining:
        found: LocalTraining | None = getattr(self._own, "trainer", None)
        if found is None:
            _, found = self._computing.trainer()
            self._own.trainer = found
        return found


def draws(task: Task, examples: Examples) -> bool:
    """Whether the model draws random numbers in training; True where no record can tell."""
    if not len(examples):
        return True
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model = task.build_model().train()
        before = torch.get_rng_state()
        model(*next(examples.chunks(2)).inputs)
        return not torch.equal(before, torch.get_rng_state())
