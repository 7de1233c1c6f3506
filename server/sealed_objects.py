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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import GCM
from flwr.supercore.inflatable.inflatable_object import get_object_id
from flwr.supercore.inflatable.inflatable_utils import validate_object_content
from flwr.supercore.object_store import NoObjectInStoreError
from flwr.supercore.object_store.sql_object_store import SqlObjectStore

_LOGGER = logging.getLogger("murmura.server")
_NONCE_BYTES = 12
LARGE = 1 << 14
_TAG_BYTES = 16
_BLOCK = 1 << 18  # read, hashed, sealed and written at once: all stays in cache
_LONGEST_HEAD = 1 << 8
_CHUNK = re.compile(rb"ArrayChunk  (\d{1,18})\0")
_OBJECT_ID = re.compile(r"[0-9a-f]{64}")
_ELSEWHERE = b"in a file"  # shorter than anything sealed


@dataclass(frozen=True, slots=True)
class Sealed:
    """A large object under a name that nobody asks for.

    Attributes:
        path: The file, in the store's folder.
    """

    path: Path


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
        self._key, self._cipher = key, AESGCM(key)
        self._folder = database.parent / "objects"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self.deleted: Callable[[str], None] = lambda _name: None

    def put(self, object_id: str, object_content: bytes | memoryview | Sealed) -> None:
        """Check and keep an object, as Flower does; ValueError if it is another one.

        Args:
            object_id: Its name.
            object_content: The object; or what `seal` made of it, which is checked already.
        """
        if isinstance(object_content, Sealed):
            object_content.path.replace(self._file(object_id))
            try:
                super().put(object_id, _ELSEWHERE)
            except NoObjectInStoreError:
                self._unlink(object_id)
                raise
        elif len(object_content) < LARGE:
            self._put_small(object_id, bytes(object_content))
        else:
            with self.seal(object_id, object_content) as sealed:
                self.put(object_id, sealed)

    @contextmanager
    def seal(self, object_id: str, content: bytes | memoryview) -> Iterator[Sealed]:
        """A large object for `put`, already checked and on disk: before a transaction begins.

        Raises:
            ValueError: it is not the object of this name; or as Flower raises it.
            OSError: it cannot be written.
        """
        partial = self._folder / f".{secrets.token_hex(8)}"
        try:
            if self._write_sealed(partial, object_id, memoryview(content)) != object_id:
                raise ValueError("expected the content of the object's name, got another")
            _validate(content)
            yield Sealed(partial)
        finally:
            partial.unlink(missing_ok=True)

    def get(self, object_id: str) -> bytes | None:
        """The object; empty where it has not come yet, None where nobody announced it."""
        return self.get_behind(object_id, lambda _length: b"")

    def get_behind(self, object_id: str, heading: Callable[[int], bytes]) -> bytes | None:
        """As `get`; an object is put behind what `heading` makes of its length, at no cost."""
        sealed = super().get(object_id)
        if not sealed:
            return sealed
        try:
            if sealed == _ELSEWHERE:
                return self._read_sealed(object_id, heading)
            content = self._cipher.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], object_id.encode()
            )
        except (InvalidTag, FileNotFoundError):
            _LOGGER.warning("an object is lost or was sealed under another key: it is missing")
            return None
        return heading(len(content)) + content

    def holds(self, object_id: str) -> bool:
        """Whether the object is here, without reading it."""
        return bool(super().get(object_id))

    def _put_small(self, object_id: str, content: bytes) -> None:
        if get_object_id(content) != object_id:
            raise ValueError("expected the content of the object's name, got another")
        validate_object_content(content=content)
        nonce = os.urandom(_NONCE_BYTES)
        # Secrecy: what is deleted later may stay on disk, as what nobody can open.
        super().put(object_id, nonce + self._cipher.encrypt(nonce, content, object_id.encode()))

    def _write_sealed(self, path: Path, object_id: str, content: memoryview) -> str:
        """A new file with the content, sealed; returns the SHA-256 of what was sealed.

        Cost: one pass over the content, and no memory but a block's.
        """
        nonce, digest, block = os.urandom(_NONCE_BYTES), sha256(), bytearray(_BLOCK)
        sealing = Cipher(AES256(self._key), GCM(nonce)).encryptor()
        sealing.authenticate_additional_data(object_id.encode())
        # Not synced: after a loss of power the key is gone, too.
        with path.open("xb") as file, memoryview(block) as view:
            file.write(nonce)
            for start in range(0, len(content), _BLOCK):
                part = content[start : start + _BLOCK]
                digest.update(part)
                file.write(view[: sealing.update_into(part, view)])
            file.write(sealing.finalize() + sealing.tag)
        return digest.hexdigest()

    def _read_sealed(self, object_id: str, heading: Callable[[int], bytes]) -> bytes:
        """Heading and object. Raises InvalidTag, FileNotFoundError."""
        with self._file(object_id).open("rb", buffering=0) as file, BytesIO() as whole:
            left = os.fstat(file.fileno()).st_size - _NONCE_BYTES - _TAG_BYTES
            if left < 0:
                raise InvalidTag
            whole.write(heading(left))
            opening = Cipher(AES256(self._key), GCM(file.read(_NONCE_BYTES))).decryptor()
            opening.authenticate_additional_data(object_id.encode())
            sealed, opened = memoryview(bytearray(_BLOCK)), memoryview(bytearray(_BLOCK))
            while left > 0:
                read = file.readinto(sealed[: min(left, _BLOCK)])
                if not read:
                    raise InvalidTag
                whole.write(opened[: opening.update_into(sealed[:read], opened)])
                left -= read
            # Guarantee: nothing of it goes on before all of it is known to be what was sealed.
            opening.finalize_with_tag(file.read(_TAG_BYTES))
            return whole.getvalue()

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


def _validate(content: bytes | memoryview) -> None:
    """Raise Flower's error unless the content is an object; a part of an array is not copied."""
    head = _CHUNK.match(bytes(content[:_LONGEST_HEAD]))
    if head is None or head.end() + int(head[1]) != len(content):
        validate_object_content(content=bytes(content))
