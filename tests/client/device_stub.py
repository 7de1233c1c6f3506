"""A process in the place of a device's: it does as it is told, and loads no framework."""

import json
import os
import signal
import sys
import time
from multiprocessing.connection import Connection
from typing import Any


def answer(told: dict[str, Any], answered: int) -> dict[str, Any]:
    """What a test wants to know, and what it said itself; or nothing ever."""
    if told.get("do") == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if told.get("do") == "sleep":
        time.sleep(600)
    said = {key: told[key] for key in ("error", "text") if key in told}
    network = os.environ.get("GLOO_SOCKET_IFNAME")
    return said | {"answered": answered, "path": sys.path, "network": network, "tensors": []}


def main(descriptor: int) -> None:
    """Until the other end is closed; the first answer is that all have met."""
    connection = Connection(descriptor)
    answered = 0
    while True:
        try:
            told = json.loads(connection.recv_bytes())
        except EOFError:
            return
        connection.send_bytes(json.dumps(answer(told, answered)).encode())
        answered += 1


if __name__ == "__main__":
    main(int(sys.argv[1]))
