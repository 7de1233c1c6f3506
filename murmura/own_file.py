"""Files that a command writes for whoever typed it: nobody else can read them."""

import os
from pathlib import Path

from shared.errors import StateError

_OWNER_ALONE = 0o600


def write_own(path: Path, text: str) -> None:
    """`path` holds `text`, and its owner alone can read it, also where others could before.

    Raises:
        StateError: it cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _OWNER_ALONE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            # Secrecy: before the content, for the mode of a file that was there stays.
            os.fchmod(file.fileno(), _OWNER_ALONE)
            file.write(text)
    except OSError as error:
        raise StateError(f"{path} cannot be written: {error.strerror}") from error
