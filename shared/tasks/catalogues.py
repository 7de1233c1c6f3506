"""Django's message catalogues: short texts of a web framework's pages in 98 languages (BSD).

They come with the package (extra `text`) as .mo files, one for each language and application, and
are read by a reader of our own, since gettext's shows no catalogue but one message at a time.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from shared.errors import ConfigurationError, DataError
from shared.extras import extra
from shared.preprocessing.text import clean
from shared.tasks.text_tables import LabelledTexts

_MAGIC = 0x950412DE
_HEADING = struct.Struct("<5I")
_PLACE = struct.Struct("<2I")
_HELD_OUT = 10
_SHORTEST = 12  # characters; shorter ones are often names and the same in many languages


@dataclass(frozen=True, slots=True)
class Message:
    """One translation.

    Attributes:
        language: As Django names it, such as pt_BR.
        catalogue: Application, such as admin; `core` for the framework's own.
        original: In English.
        text: The translation, clean.
    """

    language: str
    catalogue: str
    original: str
    text: str


def languages() -> tuple[str, ...]:
    """All languages that have a catalogue, sorted. Raises ConfigurationError without Django."""
    found = (path.parts[-3] for path in _folder().glob("conf/locale/*/LC_MESSAGES/django.mo"))
    return tuple(sorted(found))


@lru_cache(maxsize=128)
def messages(language: str) -> tuple[Message, ...]:
    """All messages of one language, each text once, in the order of the files' names.

    Raises:
        ConfigurationError: Django is not installed, or has no such language.
        DataError: a catalogue is damaged.
    """
    paths = [
        *_folder().glob(f"conf/locale/{language}/LC_MESSAGES/django.mo"),
        *sorted(_folder().glob(f"contrib/*/locale/{language}/LC_MESSAGES/django*.mo")),
    ]
    if not paths or language not in languages():
        raise ConfigurationError(
            f"expected a language that Django knows, got {language!r}; it knows "
            f"{', '.join(languages())}"
        )
    found: dict[str, Message] = {}
    for path in paths:
        catalogue = "core" if "conf" in path.parts[-5:-3] else path.parts[-5]
        for original, translations in read_catalogue(path):
            for translation in translations:
                text = clean(translation)
                if original and text:
                    found.setdefault(text, Message(language, catalogue, original, text))
    return tuple(found.values())


def by_language(wanted: Sequence[str]) -> tuple[LabelledTexts, LabelledTexts]:
    """Texts of at least 12 characters with their languages: for the sites, and held out.

    Of every ten English originals one is held out in all languages, by a checksum: no site holds
    a translation of what is measured.

    Args:
        wanted: Languages; the labels are their places.
    """
    kept = [
        (place, message)
        for place, language in enumerate(wanted)
        for message in messages(language)
        if len(message.text) >= _SHORTEST
    ]
    everything = LabelledTexts(
        tuple(message.text for _, message in kept),
        np.array([place for place, _ in kept], dtype=np.int64),
        {
            "language": [message.language for _, message in kept],
            "catalogue": [message.catalogue for _, message in kept],
        },
    )
    sums = [zlib.crc32(message.original.encode()) for _, message in kept]
    held_out = np.array(sums, dtype=np.int64) % _HELD_OUT == 0
    return (
        everything.select(np.flatnonzero(~held_out)),
        everything.select(np.flatnonzero(held_out)),
    )


def read_catalogue(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Each message of a .mo file: the original without its context, and all forms translated.

    Raises:
        DataError: the file is not what the format says.
    """
    try:
        data = path.read_bytes()
        magic, _, count, originals, translations = _HEADING.unpack_from(data)
        if magic != _MAGIC:
            raise DataError(f"{path} must begin as a catalogue of messages, got {magic:#x}")
        for number in range(count):
            original = _text(data, originals + _PLACE.size * number)
            forms = _text(data, translations + _PLACE.size * number).split("\0")
            yield original.split("\x04")[-1].split("\0")[0], forms
    except (OSError, struct.error, UnicodeDecodeError) as error:
        raise DataError(f"expected a catalogue of messages at {path}, got {error}") from error


def _text(data: bytes, place: int) -> str:
    length, start = _PLACE.unpack_from(data, place)
    if start + length > len(data):
        raise struct.error(f"a text past the end at {start}")
    return data[start : start + length].decode()


def _folder() -> Path:
    # Found, not imported: no setting of Django's is needed to read its files.
    spec = find_spec("django")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(f"the message catalogues need {extra('text')}; got no django")
    return Path(next(iter(spec.submodule_search_locations)))
