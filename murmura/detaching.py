"""A service in the background: started so that it outlives the terminal, and waited for."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from server.children import last_line, log_of
from server.home import ServerHome
from server.local_client import facts_of
from server.service import running_pid
from shared.errors import StateError

_READY_S = 90.0
_CODE = Path(__file__).parents[1]


def start_detached(home: ServerHome) -> dict[str, Any]:
    """Start the service of `home`; what it tells of itself once it answers.

    Raises:
        StateError: one runs already, or it ended before it answered.
    """
    home.check()
    if running_pid(home) is not None:
        raise StateError(f"expected no service of {home.root}, got one that runs")
    log = log_of(home, "service")
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", "server.service", "--home", str(home.root)],
            env=os.environ | {"PYTHONPATH": str(_CODE)},
            cwd=home.root,
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    deadline = time.monotonic() + _READY_S
    while (facts := facts_of(home)) is None or facts["pid"] != process.pid:
        if process.poll() is not None or time.monotonic() > deadline:
            raise StateError(f"the service did not come up; its log ends: {last_line(log)!r}")
        time.sleep(0.1)
    return facts
