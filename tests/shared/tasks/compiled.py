"""Compiled gettext catalogues made in a test."""

import struct
from collections.abc import Mapping
from pathlib import Path

_HEADER = {"": "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=n!=1;\n"}


def compiled(messages: Mapping[str, str]) -> bytes:
    """As msgfmt makes it: the number of texts, where each lies, the texts."""
    entries = sorted((_HEADER | dict(messages)).items())
    start = 28 + 16 * len(entries)
    tables, texts = [b"", b""], b""
    for which in range(2):
        for entry in entries:
            text = entry[which].encode()
            tables[which] += struct.pack("<II", len(text), start + len(texts))
            texts += text + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(entries), 28, 28 + 8 * len(entries), 0, start)
    return head + tables[0] + tables[1] + texts


def write_catalogue(
    folder: Path, language: str, messages: Mapping[str, str], *, application: str = "shop"
) -> Path:
    """`application/locale/LANG/LC_MESSAGES/words.mo`."""
    path = folder / application / "locale" / language / "LC_MESSAGES" / "words.mo"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(compiled(messages))
    return path
