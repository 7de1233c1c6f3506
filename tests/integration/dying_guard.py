"""A guard that kills itself, as `kill -9` does, at the points that a file lists, one a start.

python -m tests.integration.dying_guard HOME FILE
"""

import os
import signal
import sys
from pathlib import Path

from client.home import SiteHome
from client.service import Service, log_to


def main(home: Path, plan: Path) -> None:
    """Serve, and die at the first point that is left."""
    place = SiteHome(home)
    log_to(place.logs)
    left = plan.read_text().split()

    def point(name: str) -> None:
        if left and name == left[0]:
            plan.write_text(" ".join(left[1:]))
            os.kill(os.getpid(), signal.SIGKILL)

    service = Service(place, point=point)
    signal.signal(signal.SIGTERM, lambda *_: service.stop())
    service.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
