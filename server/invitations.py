"""A token lets in one site, of one name, once, until it expires; the server keeps no token.

On disk lies the SHA-256 of each: 32 random bytes cannot be found from it. The line that the
operator hands to the site also tells the authority's fingerprint, so that the site knows the
server before it sends the token.
"""

import base64
import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.home import ServerHome
from server.refusals import Refused
from shared.durable import read_json, write_json
from shared.errors import ConfigurationError, StateError

PREFIX = "murmura1:"
HOURS = 24.0
_TOKEN_BYTES = 32
_LONGEST_TOKEN = 64
_KEPT_S = 30 * 86400.0  # that an old entry still tells "expired" from "unknown"
_SITE_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Invitation:
    """What is kept of a token.

    Attributes:
        name: The site it lets in.
        expires: Seconds since 1970.
        used: Likewise, when it let the site in; 0: not yet.
    """

    name: str
    expires: float
    used: float = 0.0


class Invitations:
    """The invitations of one server; callers hold `ServerHome.locked` where they change any.

    Args:
        home: Where they lie.
        clock: Seconds since 1970.
    """

    def __init__(self, home: ServerHome, clock: Clock = time.time) -> None:
        self._home = home
        self._clock = clock

    def invite(self, name: str, hours: float = HOURS) -> tuple[str, float]:
        """A new token for `name` and when it expires; an unused one of before is void.

        Raises:
            ConfigurationError: no name of a site, or no time.
        """
        checked_site_name(name)
        if not 0.0 < hours <= 24 * 365:
            raise ConfigurationError(f"hours must be in (0, 8760], got {hours!r}")
        token = base64.urlsafe_b64encode(secrets.token_bytes(_TOKEN_BYTES)).rstrip(b"=").decode()
        now = self._clock()
        kept = {
            digest: entry
            for digest, entry in self.all().items()
            if (entry.used or entry.name != name) and now - entry.expires < _KEPT_S
        }
        kept[_digest(token)] = Invitation(name, now + 3600.0 * hours)
        self._save(kept)
        return token, kept[_digest(token)].expires

    def check(self, token: str, name: str) -> Invitation:
        """The invitation of `token`, if it may still let `name` in.

        Raises:
            Refused: token_unknown, token_used, token_expired, name_mismatch.
        """
        found = self.all().get(_digest(token)) if len(token) <= _LONGEST_TOKEN else None
        if found is None:
            raise Refused("token_unknown", "expected a token of this server")
        if found.used:
            raise Refused("token_used", "expected a token that let nobody in yet")
        if self._clock() >= found.expires:
            raise Refused("token_expired", "expected a token that has not expired")
        if found.name != name:
            raise Refused("name_mismatch", "expected the name that the token is for")
        return found

    def used_for(self, token: str) -> str | None:
        """The name that this token let in and still would, but for being used."""
        found = self.all().get(_digest(token)) if len(token) <= _LONGEST_TOKEN else None
        live = found is not None and found.used and self._clock() < found.expires
        return found.name if found is not None and live else None

    def use(self, token: str) -> None:
        """From now on this token lets nobody in."""
        entries = self.all()
        before = entries[_digest(token)]
        entries[_digest(token)] = Invitation(before.name, before.expires, self._clock())
        self._save(entries)

    def all(self) -> dict[str, Invitation]:
        """By digest of the token. Raises StateError."""
        return _read(self._home.invites)

    def _save(self, entries: Mapping[str, Invitation]) -> None:
        content = {
            digest: {"name": entry.name, "expires": entry.expires, "used": entry.used}
            for digest, entry in entries.items()
        }
        write_json(self._home.invites, {"invites": content})


def _read(path: Path) -> dict[str, Invitation]:
    try:
        stored: Mapping[str, Mapping[str, Any]] = read_json(path).get("invites", {})
        return {
            digest: Invitation(
                str(entry["name"]), float(entry["expires"]), float(entry.get("used", 0.0))
            )
            for digest, entry in stored.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StateError(f"{path} must hold invitations, got something else") from error


def checked_site_name(name: str) -> str:
    """`name`, if it can be a site's: letters, digits, - and _, at most 63."""
    if not _SITE_NAME.fullmatch(name):
        raise ConfigurationError(
            f"a site's name must be letters, digits, - and _, at most 63, got {name!r}"
        )
    return name


def invitation_line(
    *, address: str, fingerprint: str, token: str, name: str, expires: float
) -> str:
    """All that a site needs to join, in one line without spaces."""
    content = {
        "address": address,
        "ca": fingerprint,
        "token": token,
        "name": name,
        "expires": int(expires),
    }
    text = json.dumps(content, separators=(",", ":")).encode()
    return PREFIX + base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
