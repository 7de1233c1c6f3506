"""Whose code runs at a site: a bundle that the server signed, and that its operator has accepted.

Accepted is what the operator named by hash, and what holds the very code that is installed here:
then no foreign code runs at all. The signature is the server's app key's, which the site learnt
when it joined; it comes as the run's `output.bundle_signature`.
"""

import time
from enum import StrEnum
from pathlib import Path
from typing import Any

import client
from client.bundle import Bundle
from client.home import SiteHome
from shared.app_signatures import bundle_content, is_signed
from shared.durable import read_json, write_json, write_private
from shared.errors import ConfigurationError, PrivacyError, StateError

PACKAGES = ("client", "server", "shared")
_MOST_SEEN = 16
_HASH_DIGITS, _SHORTEST = 64, 12


class Missing(StrEnum):
    """What a bundle lacks to run here."""

    APPROVAL = "bundle_not_approved"
    SIGNATURE = "bundle_not_signed"


class NotApproved(PrivacyError):  # noqa: N818 - what happened
    """A bundle that does not run here.

    Attributes:
        missing: What it lacks.
    """

    def __init__(self, missing: Missing, text: str) -> None:
        super().__init__(f"{missing}: {text}")
        self.missing = missing


class Approvals:
    """What one site's operator has accepted.

    Args:
        home: Where it is kept.
        app_key: Of the server, hexadecimal.
        installed: Root of the code that is installed here.
    """

    def __init__(self, home: SiteHome, app_key: str, installed: Path | None = None) -> None:
        self._home = home
        self._app_key = app_key
        self._installed = installed or Path(client.__file__).parents[1]

    def check(self, bundle: Bundle, signature: str) -> None:
        """Nothing, if `bundle` may run here.

        Raises:
            NotApproved: it may not; it is kept for the operator to look at.
            StateError: approved.json cannot be read.
        """
        entry = self.all().get(bundle.hash)
        if entry is None and not self.is_installed(bundle):
            self._keep(bundle)
            raise NotApproved(
                Missing.APPROVAL,
                f"expected a bundle that was approved, got {bundle.hash}; `murmura client approve` "
                "shows what waits",
            )
        unsigned = entry is not None and entry.get("unsigned") is True
        if not unsigned and not is_signed(bundle_content(bundle.content), signature, self._app_key):
            self._keep(bundle)
            raise NotApproved(
                Missing.SIGNATURE, f"expected the server's signature of {bundle.hash}, got none"
            )

    def is_installed(self, bundle: Bundle) -> bool:
        """Whether every line of code in `bundle` is installed here, and all of ours is in it."""
        code = {name: text for name, text in bundle.files.items() if name.endswith(".py")}
        return code == installed_code(self._installed)

    def approve(self, digest: str, *, unsigned: bool = False) -> None:
        """Accept the bundle of this hash from now on.

        Args:
            digest: SHA-256, hexadecimal.
            unsigned: Even if the server's signature is missing.
        """
        if len(digest) != _HASH_DIGITS or set(digest) - set("0123456789abcdef"):
            raise ConfigurationError(f"expected a SHA-256 in hexadecimal, got {digest!r}")
        entries = self.all() | {digest: {"approved": int(time.time()), "unsigned": unsigned}}
        write_json(self._home.approved, {"bundles": entries})

    def withdraw(self, digest: str) -> None:
        """Accept it no longer."""
        entries = {name: entry for name, entry in self.all().items() if name != digest}
        write_json(self._home.approved, {"bundles": entries})

    def all(self) -> dict[str, dict[str, Any]]:
        """What was accepted by hash, as of now. Raises StateError."""
        found = read_json(self._home.approved).get("bundles", {})
        if not isinstance(found, dict) or not all(isinstance(e, dict) for e in found.values()):
            raise StateError(f"{self._home.approved} must hold bundles by hash")
        return found

    def seen(self) -> dict[str, Path]:
        """Refused bundles that were kept, newest first: hash -> file."""
        files = sorted(self._home.bundles.glob("*.fab"), key=lambda path: -path.stat().st_mtime)
        return {path.stem: path for path in files}

    def resolve(self, named: str) -> str:
        """The hash that `named` is, or is the beginning of, or of the file `named`.

        Raises:
            ConfigurationError: neither one bundle that was seen, a hash, nor a file.
            BundleRefused: the file is no bundle that could run.
        """
        if Path(named).is_file():
            return Bundle(Path(named).read_bytes()).hash
        if len(named) == _HASH_DIGITS and not set(named.lower()) - set("0123456789abcdef"):
            return named.lower()
        fitting = [digest for digest in self.seen() if digest.startswith(named)]
        if len(named) < _SHORTEST or len(fitting) != 1:
            raise ConfigurationError(
                f"expected a file, a SHA-256, or at least {_SHORTEST} digits of one that was seen, "
                f"got {named!r}"
            )
        return fitting[0]

    def _keep(self, bundle: Bundle) -> None:
        write_private(self._home.bundles / f"{bundle.hash}.fab", bundle.content)
        for path in list(self.seen().values())[_MOST_SEEN:]:
            path.unlink(missing_ok=True)


def installed_code(root: Path) -> dict[str, bytes]:
    """Every Python file of our packages below `root`, by its name in a bundle."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for package in PACKAGES
        for path in sorted((root / package).rglob("*.py"))
    }
