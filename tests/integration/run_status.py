"""How a run ended, asked of the SuperLink by this process: `flwr ls` takes a second each time."""

import time
from pathlib import Path

from flwr.common.serde import run_from_proto
from flwr.proto.control_pb2 import ListRunsRequest
from flwr.supercore.control import ControlHttpClient
from flwr.supercore.interceptors.http import RuntimeVersionHttpInterceptor

ASKED_EVERY_S = 0.5


def outcome(address: str, certificate: Path | None, run_id: str, timeout_s: float) -> str:
    """The final status of a run, or that there is none yet.

    Args:
        address: Host and port of the SuperLink.
        certificate: Of the authority behind its own; None: it has none.
        run_id: Flower's number of the run.
        timeout_s: How long to wait.
    """
    client = ControlHttpClient.from_server_address(
        server_address=address,
        insecure=certificate is None,
        root_certificates=None if certificate is None else certificate.read_bytes(),
        interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr CLI")],
    )
    deadline, status, number = time.monotonic() + timeout_s, "unknown", int(run_id)
    try:
        while time.monotonic() < deadline:
            runs = client.ListRuns(ListRunsRequest(run_id=number)).run_dict
            found = run_from_proto(runs[number]).status
            status = f"{found.status}:{found.sub_status}" if found.sub_status else found.status
            if status.startswith("finished"):
                return status
            time.sleep(ASKED_EVERY_S)
    finally:
        client.close()
    return f"timed out: {status}"
