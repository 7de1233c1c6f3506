"""A site's home: what its operator keeps there, readable by its owner alone.

    site.toml       who the site is, its policy, its worker        approved.json  accepted bundles
    pki/            site.key site.pem ca.pem                        roster.json    all sites' keys
    keys/           node.key (Flower's node authentication), identity.key (secure aggregation)
    ledger/  state/ (runs in flight)  bundles/ (seen, to look at)  logs/  audit.jsonl
    guard.pid       held by the guard that runs                     status.json    what it says

A file is replaced whole or not at all: what a call wrote is on disk when it returns.
"""

import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any

from shared.errors import StateError

DEFAULT_HOME = Path("~/.murmura/client")
HOME_VARIABLE = "MURMURA_CLIENT_HOME"
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_FOLDERS = ("pki", "keys", "state", "bundles", "logs")
_OTHERS = 0o077
_LOOKS = 10


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
        self.bundles = self.root / "bundles"
        self.logs = self.root / "logs"
        self.audit = self.root / "audit.jsonl"
        self.pid = self.root / "guard.pid"
        self.status = self.root / "status.json"

    @classmethod
    def chosen(cls, given: Path | None) -> "SiteHome":
        """The home that was `given`, or the environment's, or the usual one."""
        return cls(given or Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME))

    def create(self) -> None:
        """Make the folders. Raises StateError if they cannot be made, or others may enter."""
        try:
            for folder in (self.root, *(self.root / name for name in _FOLDERS)):
                folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
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
            mode = path.stat().st_mode
            # Secrecy: whoever reads a key is the site.
            if mode & _OTHERS:
                raise StateError(f"{path} must be its owner's alone, got mode {mode & 0o777:03o}")

    @contextmanager
    def held(self) -> Iterator[None]:
        """One guard at a time runs from this home; the file holds its process id.

        Raises:
            StateError: another one does.
        """
        descriptor = os.open(self.pid, os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
        if not _taken(descriptor):
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


def _taken(descriptor: int) -> bool:
    """Whether the lock is ours now; whoever only looks holds it for a moment."""
    for _ in range(_LOOKS):
        try:
            flock(descriptor, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def write_private(path: Path, content: bytes) -> None:
    """`path` holds `content`, on disk, for its owner alone; after a crash that, or what it held.

    Raises:
        StateError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        # Secrecy: the mode is there before the content.
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """As `write_private`, strict JSON."""
    write_private(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`; an empty one where there is no file. Raises StateError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StateError(f"{path} must be a readable JSON file") from error
    if not isinstance(content, dict):
        raise StateError(f"{path} must hold one JSON object, got {type(content).__name__}")
    return content


def remove(path: Path) -> None:
    """`path` is gone, on disk too. Raises StateError."""
    try:
        path.unlink(missing_ok=True)
        _sync(path.parent)
    except OSError as error:
        raise StateError(f"{path} cannot be removed: {error.strerror}") from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
