"""The key under which a site hashes; a file of the site's own that its owner alone can read."""

import secrets
import stat
from pathlib import Path

from shared.durable import create_durably
from shared.errors import DataError
from shared.preprocessing import KEY_FILE

_BYTES = 32


class SiteKey:
    """Read when it is first needed, so that a table without hashes needs none.

    Args:
        folder: Where the file lies.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / KEY_FILE

    def bytes(self) -> bytes:
        """The 32 bytes.

        Raises:
            DataError: the file is missing, of another form, or others can read it.
        """
        made = "make one by `murmura prepare DIR --make-key`"
        try:
            others = stat.S_IMODE(self._path.stat().st_mode) & 0o077
            text = self._path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"expected a key in {self._path}, got none; {made}") from error
        # Secrecy: whoever reads the key can try out names until a hash fits.
        if others:
            raise DataError(
                f"{self._path} must be readable by its owner alone; chmod 600 {self._path}"
            )
        try:
            key = bytes.fromhex(text)
        except ValueError:
            key = b""
        if len(key) != _BYTES:
            raise DataError(f"{self._path} must hold {2 * _BYTES} hexadecimal digits; {made}")
        return key

    def make(self) -> None:
        """Write a new key of the operating system's randomness.

        Raises:
            DataError: there is one already; hashes made with it would lose their meaning.
        """
        if self._path.exists():
            raise DataError(f"expected no key in {self._path} yet, got one")
        create_durably(self._path, secrets.token_hex(_BYTES).encode())
