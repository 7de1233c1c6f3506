"""Sessions of a process: one a run, and nothing that trains is loaded before something trains."""

import subprocess
import sys
from pathlib import Path

import pytest

from client.sessions import WhenAsked, session
from shared.config import RunConfig
from shared.errors import ConfigurationError
from tests.client.test_session import RAW

# What a SuperNode's process does with a node's first message.
ENROLLED = f"""
import sys
import client.app
from client.sessions import session
from client.site import Node
config = {{"partition-id": 1, "num-partitions": 3, "allow-seeded-runs": True}}
print(session({RAW!r}).enrol(Node(config)).client_id)
print([name for name in ("torch", "opacus", "sklearn") if name in sys.modules])
"""


def test_a_message_that_trains_nothing_loads_nothing_that_trains() -> None:
    """Each message has a process of its own, and a round waits for those that unmask it."""
    found = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", ENROLLED],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.splitlines() == ["site-000001", "[]"]


def test_what_computes_is_made_once_and_no_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the first that asks for it; both kinds of question go to the same."""
    made: list[RunConfig] = []

    class Counted:
        def __init__(self, config: RunConfig) -> None:
            made.append(config)

        def update(self, *asked: object) -> tuple[object, ...]:
            return ("update", *asked)

        def rows(self, *asked: object) -> tuple[object, ...]:
            return ("rows", *asked)

    monkeypatch.setattr("client.in_process.InProcess", Counted)
    config = RunConfig.from_run_config(RAW)
    computing = WhenAsked(config)
    assert made == []
    asked: tuple[object, ...] = ("site", "instruction", "kept")
    for kind in ("update", "rows"):
        assert getattr(computing, kind)(*asked) == (kind, *asked)
    assert made == [config]


def test_a_session_is_kept_for_its_configuration_alone() -> None:
    """The same for the same values in any order; a value of another type is another value."""
    assert session(RAW) is session(dict(reversed(RAW.items())))
    assert session(RAW) is not session(RAW | {"rounds": 7})
    with pytest.raises(ConfigurationError, match=r"population.size must be of type int"):
        session(RAW | {"population.size": 3.0})
