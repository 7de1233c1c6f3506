"""An app bundle is looked at before it is unpacked, and is unpacked into a new folder alone.

A bundle is a zip file of Python and text, as Flower makes it. Everything that an unpacker could be
led astray by is refused by name: a path that leaves the folder, a link, a name that stands twice, a
file that is too large or was packed a thousand to one, more files than any app has.
"""

import stat
import tomllib
import zipfile
from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any
from zlib import error as ZlibError  # noqa: N812 - a class

from shared.config import Scalar
from shared.errors import ProtocolError, StateError

LARGEST_BUNDLE = 10 << 20
_LARGEST_FILE, _LARGEST_WHOLE = 4 << 20, 40 << 20
_MOST_FILES, _DEEPEST, _LONGEST_NAME = 1000, 12, 200
_HIGHEST_RATIO, _RATIO_FROM = 100, 1 << 16  # small files of blanks pack well
_SUFFIXES = {".py", ".toml", ".md", ".yaml", ".yml", ".json", ".jsonl"}
_ALLOWED_NAMES = {"LICENSE", "CONTENT"}  # the latter in .info, which Flower adds
_DESCRIPTION = "pyproject.toml"


class BundleFlaw(StrEnum):
    """Why a bundle is refused."""

    TOO_LARGE = "bundle_too_large"
    NO_ARCHIVE = "bundle_no_archive"
    TOO_MANY_FILES = "bundle_too_many_files"
    RATIO = "bundle_ratio"
    PATH = "bundle_path"
    KIND = "bundle_kind"
    TWICE = "bundle_name_twice"
    NO_DESCRIPTION = "bundle_no_description"


class BundleRefused(ProtocolError):  # noqa: N818 - what happened
    """A bundle that is not unpacked.

    Attributes:
        flaw: Why.
    """

    def __init__(self, flaw: BundleFlaw, text: str) -> None:
        super().__init__(f"{flaw}: {text}")
        self.flaw = flaw


class Bundle:
    """The files of one app bundle, in memory.

    Args:
        content: The whole file.

    Raises:
        BundleRefused: anything that `BundleFlaw` names.
    """

    def __init__(self, content: bytes) -> None:
        if len(content) > LARGEST_BUNDLE:
            raise BundleRefused(BundleFlaw.TOO_LARGE, f"got {len(content)} bytes")
        self.content = content
        self.hash = sha256(content).hexdigest()
        self.files = _read(content)
        self._config = _config(self.files)

    def run_config(self, overrides: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """The bundle's own settings, flat, with `overrides` above them, as Flower joins them."""
        return self._config | dict(overrides)

    def unpack(self, folder: Path) -> None:
        """Write every file below `folder`, which must not be there; nobody can change them.

        Raises:
            StateError: it is there, or cannot be written.
        """
        try:
            folder.mkdir(mode=0o700)
            for name, content in self.files.items():
                path = folder / name
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                path.write_bytes(content)
                path.chmod(0o400)
        except OSError as error:
            raise StateError(f"the bundle cannot be unpacked: {error.strerror}") from error


def _read(content: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check(entries)
            # What the directory says is checked above; `read` stops at it, whatever the data are.
            files = {entry.filename: archive.read(entry) for entry in entries}
            if any(len(files[entry.filename]) != entry.file_size for entry in entries):
                raise ValueError
            return files
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, ZlibError) as error:
        raise BundleRefused(BundleFlaw.NO_ARCHIVE, "expected a zip file that is whole") from error
    except (RuntimeError, OSError, LookupError) as error:  # a password, a strange method, a date
        raise BundleRefused(BundleFlaw.NO_ARCHIVE, "expected a plain zip file") from error


def _check(entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > _MOST_FILES:
        raise BundleRefused(BundleFlaw.TOO_MANY_FILES, f"got {len(entries)}")
    names = [entry.filename.casefold() for entry in entries]
    if len(set(names)) != len(names):
        raise BundleRefused(BundleFlaw.TWICE, "a name stands twice")
    for entry in entries:
        _check_entry(entry)
    folders = {str(folder) for name in names for folder in PurePosixPath(name).parents}
    if folders & set(names):
        raise BundleRefused(BundleFlaw.PATH, "a name is a file and a folder")
    if (whole := sum(entry.file_size for entry in entries)) > _LARGEST_WHOLE:
        raise BundleRefused(BundleFlaw.TOO_LARGE, f"got {whole} bytes unpacked")


def _check_entry(entry: zipfile.ZipInfo) -> None:
    path = PurePosixPath(entry.filename)
    plain = entry.filename == str(path) and entry.filename.isprintable()
    inside = not path.is_absolute() and not {"..", "."} & set(path.parts) and path.parts
    if not (plain and inside) or set("\\:") & set(entry.filename):
        raise BundleRefused(BundleFlaw.PATH, f"got {entry.filename[:_LONGEST_NAME]!r}")
    if len(path.parts) > _DEEPEST or len(entry.filename) > _LONGEST_NAME:
        raise BundleRefused(BundleFlaw.PATH, f"got {len(path.parts)} folders deep, or too long")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFREG}:
        raise BundleRefused(BundleFlaw.KIND, f"expected plain files, got kind {kind:o}")
    if path.suffix not in _SUFFIXES and path.name not in _ALLOWED_NAMES:
        raise BundleRefused(BundleFlaw.KIND, f"expected Python and text, got {path.suffix!r}")
    if entry.file_size > _LARGEST_FILE:
        raise BundleRefused(BundleFlaw.TOO_LARGE, f"got a file of {entry.file_size} bytes")
    if entry.file_size > max(_RATIO_FROM, _HIGHEST_RATIO * entry.compress_size):
        raise BundleRefused(
            BundleFlaw.RATIO, f"got {entry.file_size} bytes out of {entry.compress_size}"
        )


def _config(files: Mapping[str, bytes]) -> dict[str, Scalar]:
    try:
        described = tomllib.loads(files[_DESCRIPTION].decode())
        return _flat(described["tool"]["flwr"]["app"].get("config", {}), "")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BundleRefused(
            BundleFlaw.NO_DESCRIPTION, "expected a pyproject.toml with [tool.flwr.app]"
        ) from error


def _flat(table: Mapping[str, Any], prefix: str) -> dict[str, Scalar]:
    flat: dict[str, Scalar] = {}
    for name, value in table.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, str | int | float):
            flat[prefix + name] = value
        else:
            raise TypeError(name)
    return flat
