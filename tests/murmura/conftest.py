"""A federation that only pretends, for the command around it."""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from server.progress import tell
from shared.config import RunConfig, Scalar
from tests.murmura.scripted import round_finished, started, summary


class PretendedFederation:
    """Does what a run does that a command can see: events, files, errors, signals.

    Attributes:
        raw: What it was given; None until it was called.
        failure: Raised after round 2, if set.
        signal_number: Sent to this process after round 2, if set.
        starts: Whether its first round is reached.
        leaves: Names and contents of files it leaves in the run folder.
    """

    def __init__(self) -> None:
        self.raw: Mapping[str, Scalar] | None = None
        self.failure: BaseException | None = None
        self.signal_number: signal.Signals | None = None
        self.starts = True
        self.leaves = {"summary.json": json.dumps(summary())}

    def simulate(self, raw_config: Mapping[str, Scalar]) -> Path:
        """In the place of `simulations.federation.simulate`."""
        self.raw = raw_config
        config = RunConfig.from_run_config(raw_config)
        folder = Path(config.output.dir) / config.output.run_id
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.leaves.items():
            (folder / name).write_text(content)
        if self.starts:
            tell("started", started(folder=folder, rounds=config.rounds))
            for number in (1, 2):
                tell("round", round_finished(number, rounds=config.rounds))
        if self.signal_number is not None:
            os.kill(os.getpid(), self.signal_number)
        if self.failure is not None:
            raise self.failure
        return folder


@pytest.fixture
def federation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PretendedFederation:
    """The pretended federation in place of the real one; the current folder is an empty one."""
    pretended = PretendedFederation()
    module = ModuleType("simulations.federation")
    monkeypatch.setattr(module, "simulate", pretended.simulate, raising=False)
    monkeypatch.setitem(sys.modules, "simulations.federation", module)
    monkeypatch.setattr("murmura.holdings.draw_holdings", lambda _config, _path: False)
    monkeypatch.setattr("murmura.running.device_words", lambda _config: "cpu")
    monkeypatch.chdir(tmp_path)
    return pretended


@pytest.fixture(autouse=True)
def untouched_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a command sets for its process is set back: loggers, sys.path, sys.excepthook."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    loggers = [logging.getLogger(name) for name in ("", "flwr", "murmura")]
    before = [(logger, list(logger.handlers), logger.level) for logger in loggers]
    yield
    for logger, handlers, level in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)


Command = Callable[..., int]


@pytest.fixture
def murmura() -> Command:
    """The command line, called in this process; returns its exit status."""
    from murmura.cli import main

    return lambda *arguments: main([str(argument) for argument in arguments])
