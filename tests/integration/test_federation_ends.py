"""`make federation` leaves nothing behind, whatever ends it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from client.home import SiteHome
from examples.federation import ROOT, Federation
from murmura.exit_codes import ExitCode
from server.home import ServerHome
from server.service import running_pid

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_a_federation_that_is_ended_by_sigterm_ends_its_server_and_its_guards(
    tmp_path: Path,
) -> None:
    """Here once the first guard runs: the server serves, and two sites have not started."""
    home, site = ServerHome(tmp_path / "server"), SiteHome(tmp_path / "site-000000")
    script = subprocess.Popen(  # noqa: S603 - our own script
        [sys.executable, str(ROOT / "examples" / "federation.py"), "--folder", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + 300
        while site.running() is None:
            assert script.poll() is None, script.communicate()[0]
            assert time.monotonic() < deadline, "no guard in five minutes"
            time.sleep(0.05)
        assert running_pid(home) is not None
        script.send_signal(signal.SIGTERM)
        said = script.communicate(timeout=120)[0]
        assert script.returncode == ExitCode.TERMINATED, said
        assert (running_pid(home), site.running()) == (None, None), said
    finally:
        if running_pid(home) or site.running():
            Federation(tmp_path, joined=[site.root], founded=[home.root]).stop()
