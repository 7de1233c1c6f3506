"""A server that was made and started by its commands, as real processes."""

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from murmura.cli import main
from server.home import ServerHome
from tests.server.site_client import FleetClient, SiteKeys, client_of, context_for, pem_of

ROOT = Path(__file__).parents[2]


def murmura(home: ServerHome, *arguments: str) -> dict[str, Any]:
    """The object that a command printed; those about processes have one of their own."""
    words = ["server", *arguments, "--json"]
    apart = arguments[0] in {"start", "stop"}
    status, said = _apart(home, words) if apart else _here(home, words)
    assert status == 0, said
    content: dict[str, Any] = json.loads(said.splitlines()[-1])
    return content


def _here(home: ServerHome, words: list[str]) -> tuple[int, str]:
    said = StringIO()
    with patch.dict(os.environ, {"MURMURA_HOME": str(home.root)}), redirect_stdout(said):
        return main(words), said.getvalue()


def _apart(home: ServerHome, words: list[str]) -> tuple[int, str]:
    code = "import sys; from murmura.cli import main; sys.exit(main())"
    done = subprocess.run(  # noqa: S603 - our own command line
        [sys.executable, "-c", code, *words],
        cwd=ROOT,
        env=os.environ | {"MURMURA_HOME": str(home.root), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout or done.stderr


@contextmanager
def service(folder: Path) -> Iterator[tuple[ServerHome, dict[str, Any]]]:
    """A server that was made and started by its commands."""
    home = ServerHome(folder / "home")
    murmura(
        home, "init", "--name", "localhost", "--listen", "127.0.0.1", "--port", "0",
        "--internal-port", "0",
    )  # fmt: skip
    try:
        yield home, murmura(home, "start", "--detach")
    finally:
        murmura(home, "stop")


@contextmanager
def joined(home: ServerHome, folder: Path) -> Iterator[FleetClient]:
    """A site that joined by the line of an invitation."""
    line = murmura(home, "invite", "site-a")["line"].removeprefix("murmura1:")
    told = json.loads(base64.urlsafe_b64decode(line + "=" * (-len(line) % 4)))
    base, keys = f"https://{told['address']}", SiteKeys("site-a")
    ca = home.pki / "ca.pem"
    with client_of(base, context_for(ca, folder)) as stranger:
        answer = stranger.http.post(f"{base}/enrol", json=keys.request(told["token"]))
    assert answer.status_code == 200, answer.text
    context = context_for(ca, folder, answer.json()["certificate"], pem_of(keys.key))
    with client_of(base, context, keys) as site:
        yield site


def becomes_true(condition: Callable[[], bool], home: ServerHome, within_s: float = 90.0) -> None:
    """Wait for it; the logs say why it does not."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(
                "\n".join(path.read_text()[-2000:] for path in home.logs.iterdir())
            )
        time.sleep(0.05)


def processes_of(home: ServerHome) -> list[str]:
    """Command lines that name the home."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if re.search(rf"{re.escape(str(home.root))}(/| |$)", line):
            found.append(line)
    return found
