"""What clients of a simulation train on, read for many of them at once.

The same records in the same order as the task's `site_data` gives each of them: where that is a
part of one pool, a client is a list of rows until somebody computes with it, and the rows of many
are gathered by one copy.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray

from client.in_process import InProcess
from client.site import ThisSite, demonstration_name
from client.turn import Turn
from shared.config import RunConfig
from shared.dp.randomness import randomness_for
from shared.messages import TrainInstruction
from shared.normalisation import Normalisation
from shared.partition import Parts, partition_spec
from shared.spans import span
from shared.task import Examples, Site, Task
from shared.tasks.pooled import Pooled

Places = NDArray[np.int64]  # (n,)


@dataclass(frozen=True, slots=True)
class Rows:
    """Examples of a pool that nobody has copied yet.

    Attributes:
        pool: All clients'; the same object for all of them.
        places: Which examples, in order.
        normalisation: What is done to them; None: nothing.
    """

    pool: Examples = field(repr=False)
    places: Places = field(repr=False)
    normalisation: Normalisation | None = None

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.places)

    def select(self, rows: Places) -> "Rows":
        """Those at `rows`, in that order."""
        return Rows(self.pool, self.places[rows], self.normalisation)

    def same(self, other: "Rows") -> bool:
        """Whether both are of one pool, and have the same done to them."""
        return self.pool is other.pool and self.normalisation == other.normalisation

    def read(self) -> Examples:
        """Copies."""
        found = self.pool.select(torch.from_numpy(self.places))
        return found if self.normalisation is None else self.normalisation.apply(found)


Held = Examples | Rows


@dataclass(frozen=True, slots=True)
class Client:
    """One client of a cohort.

    Attributes:
        turn: What its randomness is labelled with.
        held: Its records.
    """

    turn: Turn
    held: Held

    @property
    def examples(self) -> Examples:
        """Its records, read; for each call anew."""
        return self.held if isinstance(self.held, Examples) else self.held.read()

    @property
    def width(self) -> int:
        """How many numbers a record's inputs have."""
        return _width(self.held if isinstance(self.held, Examples) else self.held.pool)

    def __len__(self) -> int:
        """Number of its records."""
        return len(self.held)


class Cohort(Sequence[Client]):
    """Clients that hold parts of one pool; each is made when somebody asks for it.

    Args:
        turns: By a client's number, what its randomness is labelled with.
        numbers: Of its clients, in order.
        parts: Their rows of the pool, likewise.
        rows: Of the pool: none, with what is done to those that are read.

    Attributes:
        counts: Of each, how many records it holds.
    """

    def __init__(
        self,
        turns: Callable[[int], Turn],
        numbers: Sequence[int],
        parts: Sequence[Places],
        rows: Rows,
    ) -> None:
        self._turns, self._numbers, self._parts, self._none = turns, numbers, parts, rows
        self.counts = [len(part) for part in parts]

    def __len__(self) -> int:
        """How many clients."""
        return len(self.counts)

    @overload
    def __getitem__(self, place: int) -> Client: ...
    @overload
    def __getitem__(self, place: slice) -> "Cohort": ...
    def __getitem__(self, place: int | slice) -> "Client | Cohort":
        """The client, or clients, at a place."""
        if isinstance(place, slice):
            return Cohort(self._turns, self._numbers[place], self._parts[place], self._none)
        return Client(self._turns(self._numbers[place]), self._of(self._parts[place]))

    @property
    def width(self) -> int:
        """As `Client.width`, of each of them."""
        return _width(self._none.pool)

    def held(self) -> Rows:
        """The records of one client after another's; at least one client."""
        return self._of(np.concatenate(self._parts))

    def _of(self, places: Places) -> Rows:
        return Rows(self._none.pool, places, self._none.normalisation)


def _width(examples: Examples) -> int:
    return sum(tensor.shape[1:].numel() for tensor in examples.inputs)


def chosen(held: Held, rows: Places) -> Held:
    """The records at `rows`, in that order."""
    return held.select(torch.from_numpy(rows)) if isinstance(held, Examples) else held.select(rows)


def joined(parts: Sequence[Held]) -> Examples:
    """The records of one after another; at least one part."""
    first = parts[0]
    if isinstance(first, Rows):
        alike = [part for part in parts if isinstance(part, Rows) and part.same(first)]
        if len(alike) == len(parts):
            places = np.concatenate([part.places for part in alike])
            return Rows(first.pool, places, first.normalisation).read()
    read = [part if isinstance(part, Examples) else part.read() for part in parts]
    inputs = zip(*(part.inputs for part in read), strict=True)
    targets = torch.cat([part.targets for part in read])
    return Examples(tuple(torch.cat(tensors) for tensors in inputs), targets)


class Reader:
    """Clients of one run.

    Args:
        config: The run's configuration.
        computing: Reads a site's records where they are no part of a pool.
        task: As `computing` makes it.

    Attributes:
        partition: How the pool is shared out.
    """

    def __init__(self, config: RunConfig, computing: InProcess, task: Task) -> None:
        self._computing = computing
        self.partition = partition_spec(config.population)
        evaluation = config.evaluation
        whole = not (evaluation.private_every and evaluation.holdout)
        # A task that reads its sites in a way of its own is asked for each of them.
        inherited: object = Pooled.site_data
        pooled = isinstance(task, Pooled) and type(task).site_data is inherited
        self._task = task if pooled and whole and isinstance(task, Pooled) else None
        self._shared: tuple[Examples, Parts] | None = None
        self._randomness = randomness_for(config.seed)

    def clients(self, indices: Sequence[int], instruction: TrainInstruction) -> Iterable[Client]:
        """Clients by their numbers, in the round of an instruction: a `Cohort`, or one by one."""
        randomness = self._randomness
        number, attempt = instruction.round_number, instruction.attempt

        def turn(index: int) -> Turn:
            name = demonstration_name(index)
            return Turn(randomness=randomness, client_id=name, round_number=number, attempt=attempt)

        if self._task is None:
            return (Client(turn(index), self._read(index, instruction)) for index in indices)
        with span("data"):
            pool, parts = self._pooled(self._task)
            normalisation = Normalisation.from_vector(instruction.normalisation)
            held = [parts[index] for index in indices]
        return Cohort(turn, indices, held, Rows(pool, np.zeros(0, dtype=np.int64), normalisation))

    def _read(self, index: int, instruction: TrainInstruction) -> Examples:
        site = ThisSite(
            client_id=demonstration_name(index),
            site=Site(index=index, partition=self.partition),
            data_dir=None,
        )
        with span("data"):
            return self._computing.training_examples(site, instruction)

    def _pooled(self, task: Pooled) -> tuple[Examples, Parts]:
        if self._shared is None:
            self._shared = task.training(), task.parts(self.partition)
        return self._shared
