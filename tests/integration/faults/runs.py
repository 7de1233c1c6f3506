"""A run of a federation of real processes, as a test follows it by the files that it writes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.config import Scalar
from tests.integration.faults.federation import Federation
from tests.integration.faults.proxies import Proxy


class Run:
    """One run under way.

    Args:
        running: Who plays it.
        config: Its configuration, with a folder and a name.

    Attributes:
        ways: Of the sites to the server, where a test may break them.
        resumes: How often it was resumed.
    """

    def __init__(self, running: Federation, config: Mapping[str, Scalar]) -> None:
        self.running = running
        self.ways: list[Proxy] = []
        self.resumes = 0
        self.config = dict(config)
        self.folder = Path(str(config["output.dir"])) / str(config["output.run_id"])
        self.run_id = running.submit(self.config)

    def charged(self) -> list[tuple[str, int, int]]:
        """Kind, round and attempt of each charge of the server."""
        return [
            (line["kind"], line["round_number"], line["attempt"])
            for line in _lines(self.folder / "charges.jsonl")
        ]

    def next_round(self) -> None:
        """Until one more round is charged, and so under way."""
        now = len(self.charged())
        self.running.wait_for(lambda: len(self.charged()) > now, 120.0)

    def wait_for_round(self, number: int) -> None:
        """Until that round is under way, or the run has ended."""

        def reached() -> bool:
            charged = [place for kind, place, _ in self.charged() if kind == "train"]
            return max(charged, default=0) >= number or self.running.status(self.run_id).startswith(
                "finished"
            )

        self.running.wait_for(reached, 300.0)

    def resume(self) -> None:
        """Another ServerApp goes on where the first one stood."""
        self.run_id = self.running.submit(self.config | {"output.resume": True})
        self.resumes += 1


def rounds_of(folder: Path) -> list[dict[str, Any]]:
    """What was written down of each round."""
    return _lines(folder / "metrics.jsonl")


def _lines(path: Path) -> list[dict[str, Any]]:
    content = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in content]
