"""Messages and their translations, out of compiled gettext catalogues (`LANG/LC_MESSAGES/X.mo`)."""

import gettext
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from shared.errors import ConfigurationError, DataError
from shared.extras import extra

_CONTEXT = "\x04"  # ends the context that a message may begin with
_HELD_OUT = 10


@dataclass(frozen=True, slots=True)
class Pair:
    """One message.

    Attributes:
        source: As programmers wrote it, in English.
        target: As translators did.
        language: Of the target, by its folder's name.
        catalogue: Folder of the application, then the language: whose translation it is.
    """

    source: str
    target: str
    language: str
    catalogue: str

    @property
    def public(self) -> bool:
        """Whether it is held out for evaluation: a rule on the source alone, the same anywhere."""
        return zlib.crc32(self.source.encode()) % _HELD_OUT == 0


def django_catalogues() -> Path:
    """The folder of Django, which brings its catalogues along.

    Raises:
        ConfigurationError: it is not installed.
    """
    spec = find_spec("django")
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            f"translation reads Django's catalogues and needs {extra('text')}, or data.dir must "
            "name a folder of catalogues; got neither"
        )
    return Path(spec.origin).parent


def read_pairs(folder: Path, languages: Sequence[str]) -> list[Pair]:
    """Every message of each language that has one translation, in the order of files and texts.

    Raises:
        DataError: a catalogue is damaged; names the file.
    """
    paths = sorted(folder.rglob("LC_MESSAGES/*.mo"), key=lambda path: path.as_posix())
    return [
        Pair(source, target, path.parts[-3], " ".join([*path.parts[-5:-4], path.parts[-3]]))
        for path in paths
        if path.parts[-3] in languages
        for source, target in sorted(_messages(path))
    ]


def _messages(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with path.open("rb") as file:
            found = gettext.GNUTranslations(file)
    except (OSError, ValueError, struct.error) as error:
        raise DataError(f"{path} must be a compiled catalogue: {error}") from error
    catalogue: dict[object, str] = found._catalog  # type: ignore[attr-defined]  # noqa: SLF001 - nothing else lists the messages
    for message, translation in catalogue.items():
        if isinstance(message, str):  # else one of several numbers
            source = message.rpartition(_CONTEXT)[2]
            if source and translation:  # "" is the catalogue's own description
                yield source, translation
