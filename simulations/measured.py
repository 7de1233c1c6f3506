"""The fastest way to train a cohort on this machine, measured on a few of its clients."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from shared.messages import TrainInstruction

if TYPE_CHECKING:
    from simulations.cohort_engine import Method
    from simulations.reading import Client

TRIED, _TIMES = 32, 2  # clients of a trial; how often each way trains them


def fastest(
    methods: "Mapping[str, Method]",
    trial: "Callable[[], Iterable[Client]]",
    instruction: TrainInstruction,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[str, Mapping[str, float]]:
    """The name of the fastest of `methods`, and each one's least seconds for the trial.

    Every way trains the same clients, once to build what it keeps, then in turn with the others.
    What comes out is dropped: nobody sees it, so it costs no privacy beyond the round's own charge.

    Args:
        methods: At least one.
        trial: The clients, anew at each call.
        instruction: Of the round.
        clock: In seconds.
    """
    seconds = dict.fromkeys(methods, float("inf"))
    for turn in range(1 + _TIMES):
        for name, method in methods.items():
            dropped, begun = np.zeros(len(instruction.parameters)), clock()
            method.add(dropped, instruction, trial())
            if turn:
                seconds[name] = min(seconds[name], clock() - begun)
    return min(seconds, key=lambda name: seconds[name]), seconds
