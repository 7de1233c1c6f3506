"""The workers of a guard: one for each bundle, warm from message to message, ended when idle."""

import tempfile
import time
from hashlib import sha256
from pathlib import Path

from client.bundle import Bundle
from client.home import SiteHome
from client.remote import Remote
from client.site_settings import SiteSettings
from client.worker_process import Worker, WorkerPlace, remove_folder
from shared.config import RunConfig

_MOST = 2  # bundles at a time: each holds a framework, and perhaps a GPU


class Workers:
    """Of one site.

    Args:
        home: Hidden from all of them.
        settings: Data folder and limits.
    """

    def __init__(self, home: SiteHome, settings: SiteSettings) -> None:
        ledger = Path(settings.site.ledger) if settings.site.ledger else None
        self._place = WorkerPlace(
            settings=settings.worker,
            hidden=(home.root,) if ledger is None else (home.root, ledger.absolute()),
            data=Path(settings.site.data) if settings.site.data else None,
            log=home.logs / "worker.log",
            prefix=f"murmura-{sha256(bytes(home.root)).hexdigest()[:12]}-",
        )
        self._known: dict[str, Worker] = {}

    def sweep(self) -> None:
        """Remove what workers of a guard that was killed left; they died with it."""
        for folder in Path(tempfile.gettempdir()).glob(f"{self._place.prefix}*"):
            remove_folder(folder)

    def computing_for(self, bundle: Bundle, config: RunConfig) -> Remote:
        """Who computes for a run; begins to load what that needs."""
        worker = self._known.pop(bundle.hash, None) or Worker(bundle, self._place)
        self._known[bundle.hash] = worker
        for old in list(self._known)[:-_MOST]:
            self._known.pop(old).end()
        worker.warm()
        return Remote(config, worker, self._place.settings.longest_s)

    def rest(self, idle_s: float) -> None:
        """End those that nothing was asked of for so long; they are started when needed."""
        for worker in self._known.values():
            if time.monotonic() - worker.last_used > idle_s:
                worker.close()

    def end(self) -> None:
        """End all of them for good, whatever they compute."""
        for worker in self._known.values():
            worker.end()

    def status(self) -> list[dict[str, str | int | None]]:
        """What `murmura client status` tells of each."""
        return [
            {
                "bundle": digest,
                "process": worker.process,
                "shut_in": worker.sandbox or "nothing" if worker.process else "not running",
                "starts": worker.starts,
            }
            for digest, worker in self._known.items()
        ]
