"""A site's home: what its operator keeps there, readable by its owner alone.

    site.toml       who the site is, its policy, its worker        approved.json  accepted bundles
    pki/            site.key site.pem ca.pem                        roster.json    all sites' keys
    keys/           node.key (Flower's node authentication), identity.key (secure aggregation)
    ledger/  state/ (runs in flight)  bundles/ (seen, to look at)  logs/  audit.jsonl
    memory/         what is kept of runs and never sent: local layers
    guard.pid       held by the guard that runs      status.json, metrics.prom  what it says

A file is replaced whole or not at all: what a call wrote is on disk when it returns.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from shared.durable import locked_soon
from shared.errors import StateError

DEFAULT_HOME = Path("~/.murmura/client")
HOME_VARIABLE = "MURMURA_CLIENT_HOME"
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_FOLDERS = ("pki", "keys", "state", "bundles", "logs")
_OTHERS = 0o077
_HELD_S = 0.5


class SiteHome:
    """The places in one site's home.

    Args:
        root: The folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.settings = self.root / "site.toml"
        self.pki = self.root / "pki"
        self.certificate = self.pki / "site.pem"
        self.key = self.pki / "site.key"
        self.authority = self.pki / "ca.pem"
        self.node_key = self.root / "keys" / "node.key"
        self.identity = self.root / "keys" / "identity.key"
        self.roster = self.root / "roster.json"
        self.approved = self.root / "approved.json"
        self.ledger = self.root / "ledger"
        self.state = self.root / "state"
        self.memory = self.root / "memory"
        self.bundles = self.root / "bundles"
        self.logs = self.root / "logs"
        self.audit = self.root / "audit.jsonl"
        self.pid = self.root / "guard.pid"
        self.status = self.root / "status.json"
        self.metrics = self.root / "metrics.prom"

    @classmethod
    def chosen(cls, given: Path | None) -> "SiteHome":
        """The home that was `given`, or the environment's, or the usual one."""
        return cls(given or Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME))

    def create(self) -> None:
        """Make the folders. Raises StateError if they cannot be made, or others may enter."""
        try:
            self.root.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
            _check_mode(self.root)
            for name in _FOLDERS:
                (self.root / name).mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
        except OSError as error:
            raise StateError(f"{self.root} cannot be made: {error.strerror}") from error
        self._check_modes()

    def check(self) -> None:
        """Raise StateError unless a site joined from here, and its owner alone can read it."""
        if not self.certificate.exists() or not self.settings.exists():
            raise StateError(
                f"expected a site's home in {self.root}, got none; `murmura client join` makes it"
            )
        self._check_modes()

    def _check_modes(self) -> None:
        secret = (self.pki, self.node_key.parent)
        kept = [path for folder in secret if folder.exists() for path in folder.iterdir()]
        for path in (self.root, self.pki, self.node_key.parent, self.state, *kept):
            _check_mode(path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """One guard at a time runs from this home; the file holds its process id.

        Raises:
            StateError: another one does.
        """
        descriptor = os.open(self.pid, os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
        if not locked_soon(descriptor, _HELD_S):
            os.close(descriptor)
            raise StateError(f"a guard runs from {self.root} already")
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            yield
        finally:
            os.ftruncate(descriptor, 0)
            os.close(descriptor)

    def running(self) -> int | None:
        """Process id of the guard that runs from here; None: none does."""
        try:
            descriptor = os.open(self.pid, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            # The lock is what tells: a number in a file may be of a process long gone.
            flock(descriptor, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return int(os.read(descriptor, 32) or 0) or None
        finally:
            os.close(descriptor)
        return None


def _check_mode(path: Path) -> None:
    mode = path.stat().st_mode & 0o777
    # Secrecy: whoever reads a key is the site.
    if mode & _OTHERS:
        raise StateError(f"{path} must be its owner's alone, got mode {mode:03o}; chmod go= {path}")
