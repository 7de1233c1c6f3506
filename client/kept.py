"""Named bytes in one file, which is whole or refused."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from shared.durable import write_private
from shared.errors import StateError

_MAGIC = b"murmura-kept-1\n"
_HASH_BYTES, _LENGTH_BYTES = 32, 4


def keep(path: Path, parts: Mapping[str, bytes]) -> None:
    """`path` holds `parts`, on disk, for its owner alone. Raises StateError."""
    index = json.dumps([[name, len(content)] for name, content in parts.items()]).encode()
    # Not joined: an answer may be as large as a model.
    body = [_MAGIC, len(index).to_bytes(_LENGTH_BYTES, "big"), index, *parts.values()]
    digest = sha256()
    for content in body:
        digest.update(content)
    write_private(path, *body, digest.digest())


def kept(path: Path) -> dict[str, bytes]:
    """What `path` holds; nothing where there is no file. Raises StateError on anything else."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from error
    body, digest = content[:-_HASH_BYTES], content[-_HASH_BYTES:]
    if not body.startswith(_MAGIC) or sha256(body).digest() != digest:
        raise StateError(f"expected {path} as it was written, got another content")
    start = len(_MAGIC) + _LENGTH_BYTES
    end = start + int.from_bytes(body[len(_MAGIC) : start], "big")
    found, place = dict[str, bytes](), end
    for name, length in json.loads(body[start:end]):
        found[name] = body[place : place + length]
        place += length
    return found
