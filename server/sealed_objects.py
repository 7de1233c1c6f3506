"""Flower's store of objects, none of which is on disk in clear.

As Flower writes them, all updates of all sites would lie in its database, readable, and stay in
its free pages after the run. Here each is sealed under a key that is never on disk, and the large
ones are files of their own beside the database: written once instead of twice, and gone when they
are deleted.
"""

import logging
import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flwr.supercore.inflatable.inflatable_object import get_object_id
from flwr.supercore.inflatable.inflatable_utils import validate_object_content
from flwr.supercore.object_store import NoObjectInStoreError
from flwr.supercore.object_store.sql_object_store import SqlObjectStore

_LOGGER = logging.getLogger("murmura.server")
_NONCE_BYTES = 12
_LARGE = 1 << 14
_OBJECT_ID = re.compile(r"[0-9a-f]{64}")
_ELSEWHERE = b"in a file"  # shorter than anything sealed


class SealedObjectStore(SqlObjectStore):
    """The store of one SuperLink.

    Args:
        database: SQLite file; the folder `objects` beside it holds what is large.
        key: 32 bytes that nobody writes to disk; AES-256-GCM, a fresh nonce for each object.

    Attributes:
        deleted: Told the name of each object that somebody wants deleted, once that is done.
    """

    def __init__(self, database: Path, key: bytes) -> None:
        super().__init__(str(database), verify=False)
        self._cipher = AESGCM(key)
        self._folder = database.parent / "objects"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self.deleted: Callable[[str], None] = lambda _name: None

    def put(self, object_id: str, object_content: bytes) -> None:
        """Check and keep an object, as Flower does; ValueError if it is another one."""
        if get_object_id(object_content) != object_id:
            raise ValueError("expected the content of the object's name, got another")
        validate_object_content(content=object_content)
        nonce = os.urandom(_NONCE_BYTES)
        # Secrecy: what is deleted later may stay on disk, as what nobody can open.
        sealed = nonce + self._cipher.encrypt(nonce, object_content, object_id.encode())
        if len(sealed) < _LARGE:
            super().put(object_id, sealed)
            return
        # Not synced: after a loss of power the key is gone, too.
        partial = self._folder / f".{secrets.token_hex(8)}"
        partial.write_bytes(sealed)
        partial.replace(self._file(object_id))
        try:
            super().put(object_id, _ELSEWHERE)
        except NoObjectInStoreError:
            self._unlink(object_id)
            raise

    def get(self, object_id: str) -> bytes | None:
        """The object; empty where it has not come yet, None where nobody announced it."""
        sealed = super().get(object_id)
        if not sealed:
            return sealed
        try:
            if sealed == _ELSEWHERE:
                sealed = self._file(object_id).read_bytes()
            return self._cipher.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], object_id.encode()
            )
        except (InvalidTag, FileNotFoundError):
            _LOGGER.warning("an object is lost or was sealed under another key: it is missing")
            return None

    def delete(self, object_id: str) -> None:
        """Delete an object and what belongs to it alone, files too."""
        super().delete(object_id)  # comes back here for each part
        if object_id not in self:
            self._unlink(object_id)
        self.deleted(object_id)

    def clear(self) -> None:
        """Delete everything."""
        super().clear()
        for path in self._folder.iterdir():
            path.unlink(missing_ok=True)

    def _file(self, object_id: str) -> Path:
        return self._folder / object_id

    def _unlink(self, object_id: str) -> None:
        # Guarantee: sites say which object they have received; what is no SHA-256 in hexadecimal
        # may be a path to anything.
        if _OBJECT_ID.fullmatch(object_id):
            self._file(object_id).unlink(missing_ok=True)
