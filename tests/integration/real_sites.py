"""Sites with data, keys, a roster and ledgers of their own, made as the documents say."""

import contextlib
import io
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from client.identity import ROSTER_FORMAT
from client.ledger import Ledger
from murmura.cli import main
from tests.integration.certificates import node_key
from tests.integration.superlink import SuperNode, Value

ROOT = Path(__file__).parents[2]
_PLACE, _NAME = "/srv/murmura", "hospital-a"


@dataclass(frozen=True, slots=True)
class RealSite:
    """A site whose files lie in a folder of its own."""

    name: str
    folder: Path

    @property
    def options(self) -> dict[str, str]:
        """Of flower-supernode, as documented."""
        (command,) = _documented("flower-supernode", self)
        return dict(zip(command[1::2], command[2::2], strict=True))

    @property
    def node_config(self) -> dict[str, Value]:
        """Key by key."""
        parts = (part.partition("=") for part in shlex.split(self.options["--node-config"]))
        return {key: value for key, _, value in parts}

    def supernode(self, **environment: str) -> SuperNode:
        """Its node, with a new key towards the SuperLink."""
        options = self.options
        key = Path(options["--auth-supernode-private-key"])
        node_key(key)
        return SuperNode(config=options["--node-config"], key=key, environment=environment)

    @property
    def ledger(self) -> Ledger:
        """As it stands on disk."""
        return Ledger(self.folder / "ledger")

    @property
    def charges(self) -> list[tuple[str, int, int]]:
        """Kind, round and attempt of all that its ledger was charged for."""
        found = self.ledger.reservations
        return [(kind, number, attempt) for _, _, kind, number, attempt in found]

    def trust(self, roster: dict[str, str]) -> None:
        """Whose keys it goes by from now on."""
        content = {"format": ROSTER_FORMAT, "clients": roster}
        (self.folder / "roster.json").write_text(json.dumps(content))


def run_config() -> dict[str, Value]:
    """What is submitted, as documented."""
    (command,) = _documented("flwr run")
    words = shlex.split(command[-1])
    return {key: _value(text) for key, text in (word.split("=", 1) for word in words)}


def documented_task(folder: Path) -> str:
    """The task of docs/own-task.md, saved in `folder`, by its name."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs/own-task.md").read_text(), re.DOTALL)
    assert code is not None
    (folder / "my_task.py").write_text(code[1])
    return "my_task:MyTask"


def real_sites(folder: Path, count: int) -> tuple[list[RealSite], dict[str, str]]:
    """Sites a, b, .. with 200 points each, and the roster of all, which each of them holds."""
    found = [RealSite(f"hospital-{letter}", folder / letter) for letter in "abcdef"[:count]]
    roster: dict[str, str] = {}
    for number, site in enumerate(found):
        (site.folder / "data").mkdir(parents=True)
        points = np.random.default_rng(number).uniform(-1.0, 1.0, (200, 2))
        inside = np.linalg.norm(points, axis=1) < 0.8
        table = np.column_stack([points, inside])
        np.savetxt(site.folder / "data" / "points.csv", table, delimiter=",")
        identity, budget = _documented("murmura", site)
        roster |= json.loads(_told([*identity, "--json"]))["roster_entry"]
        _told(budget)
    for site in found:
        site.trust(roster)
    return found, roster


def _documented(command: str, site: RealSite | None = None) -> list[list[str]]:
    """The words of each line of docs/secure-aggregation.md that starts with `command`."""
    text = (ROOT / "docs/secure-aggregation.md").read_text()
    start = text.index("## Who must hold what")
    section = text[start : text.index("\n## ", start)]
    if site is not None:
        section = section.replace(_PLACE, str(site.folder)).replace(_NAME, site.name)
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL)).splitlines()
    return [shlex.split(line) for line in lines if line.startswith(f"{command} ")]


def _told(command: list[str]) -> str:
    """What `murmura` prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert main(command[1:]) == 0
    return output.getvalue()


def _value(text: str) -> Value:
    """A number, or the text itself."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text
