"""The server's home: every file its owner's alone, and written whole or not at all.

Folders have mode 0700, files 0600, from the moment they exist. A file is replaced by a rename
after it was synced: after a crash there is the old content or the new.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Generic, TypeVar

from server.settings import ServerSettings
from shared.errors import StateError

HOME_VARIABLE = "MURMURA_HOME"
LISTENING = "listening.json"  # in `state`: where the serving process listens
SERVICE = "service.json"  # likewise: what keeps it alive
STATUS_PATH = "/murmura/status"  # of what the internal port tells commands of this machine
_FOLDERS = ("pki", "keys", "state", "logs", "runs")
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_OTHERS = 0o077
_Value = TypeVar("_Value")


def default_home() -> Path:
    """$MURMURA_HOME, else ~/.murmura/server."""
    given = os.environ.get(HOME_VARIABLE)
    return Path(given) if given else Path.home() / ".murmura" / "server"


@dataclass(frozen=True, slots=True)
class ServerHome:
    """Where everything of one server lies.

    Attributes:
        root: The folder; every process of the server is given the same.
    """

    root: Path

    @property
    def settings_file(self) -> Path:
        """server.toml: names, addresses, limits."""
        return self.root / "server.toml"

    @property
    def pki(self) -> Path:
        """Certificates and their keys, and which are revoked."""
        return self.root / "pki"

    @property
    def app_key(self) -> Path:
        """Ed25519: signs app bundles, rosters and the audit log."""
        return self.root / "keys" / "app.key"

    @property
    def exec_secret(self) -> Path:
        """What flower-superexec proves that it may run the server's part of an app."""
        return self.root / "keys" / "exec.secret"

    @property
    def sites(self) -> Path:
        """Enrolled sites."""
        return self.root / "sites.json"

    @property
    def invites(self) -> Path:
        """Invitations, tokens as digests alone."""
        return self.root / "invites.json"

    @property
    def state(self) -> Path:
        """Flower's database, and what a running service tells of itself."""
        return self.root / "state"

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.root / "logs"

    @property
    def runs(self) -> Path:
        """Run folders."""
        return self.root / "runs"

    @property
    def audit(self) -> Path:
        """What happened, chained and signed."""
        return self.root / "audit.jsonl"

    @property
    def pid_file(self) -> Path:
        """Locked as long as the service runs."""
        return self.root / "server.pid"

    def create(self) -> None:
        """Make the folders; a home is made once.

        Raises:
            StateError: there is one already, or it cannot be made.
        """
        if any((self.root / name).exists() for name in ("server.toml", "pki", "keys")):
            raise StateError(f"expected no server in {self.root}, got one; it is never overwritten")
        try:
            for folder in (self.root, *(self.root / name for name in _FOLDERS)):
                folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
                folder.chmod(_PRIVATE_FOLDER)
        except OSError as error:
            raise StateError(f"{self.root} cannot be made: {error}") from error

    def check(self) -> None:
        """Raise StateError unless there is a home here that others can neither read nor enter."""
        if not self.settings_file.exists():
            raise StateError(
                f"expected a server's home in {self.root}, got none; `murmura server init` makes it"
            )
        for path in (self.root, self.pki, self.app_key.parent, *self._keys()):
            mode = path.stat().st_mode
            # Secrecy: whoever reads a key is the server.
            if mode & _OTHERS:
                raise StateError(f"{path} must be its owner's alone, got mode {mode & 0o777:03o}")

    def _keys(self) -> list[Path]:
        folders = (self.pki, self.app_key.parent)
        return sorted(path for folder in folders for path in folder.iterdir() if path.is_file())

    def settings(self) -> ServerSettings:
        """server.toml, checked. Raises ConfigurationError or StateError."""
        try:
            return ServerSettings.from_toml(self.settings_file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise StateError(f"{self.settings_file} cannot be read: {error}") from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else changes sites, invitations or certificates, in whatever process."""
        descriptor = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
        try:
            flock(descriptor, LOCK_EX)
            yield
        finally:
            os.close(descriptor)


class Watched(Generic[_Value]):
    """What a file says, read again when another process has replaced it.

    Args:
        path: The file.
        read: What becomes of it; called again after each change, and raises what it raises.
    """

    def __init__(self, path: Path, read: Callable[[Path], _Value]) -> None:
        self._path = path
        self._read = read
        self._signature: tuple[int, int, int] | None = None
        self._value: list[_Value] = []

    def value(self) -> _Value:
        """The content as of now."""
        signature = _signature(self._path)
        # A file that was replaced is another inode; that, time and size tell every change.
        if not self._value or signature != self._signature:
            self._value = [self._read(self._path)]
            self._signature = signature
        return self._value[0]


def _signature(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
