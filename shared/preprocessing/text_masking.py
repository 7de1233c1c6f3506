"""De-identification of text: what looks like an address or a number of a person is masked.

A pattern finds forms, not persons: a name, a rare story or an address written out stays. Masking
is no substitute for differential privacy and takes nothing off its cost; it keeps identifiers out
of what a site's own process handles. The report holds counts alone, for the site's operator.

Each text is masked by itself. # Guarantee: one record before is one record after, so whatever is
promised of records holds of those that the site has.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ConfigurationError, DataError

SETTINGS_FILE = "masking.toml"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
# In this order: an IBAN holds what looks like a telephone number, and an address on the web may
# hold an e-mail address.
PATTERNS: Mapping[str, str] = {
    "email": r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "url": r"(?:https?://|www\.)[^\s<>\"']+",
    "iban": r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",
    "date": (r"\b(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.] ?\d{1,2}[-/.] ?(?:\d{4}|\d{2}))\b"),
    "phone": (
        r"(?<![\w.])(?:\+\d(?:[ ()./-]{0,2}\d){6,14}|\(\d{1,5}\)[ ./-]?\d(?:[ ./-]?\d){4,11}"
        r"|\d(?:[ ./-]?\d){6,13})(?!\w)"
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskingReport:
    """What was masked at a site, in counts; never what stood there.

    It depends on private texts and no noise covers it: for the site's operator, not for others.

    Attributes:
        texts: Number of texts.
        changed: Of those, how many held something that was masked.
        found: How often each pattern was found, by its name.
    """

    texts: int
    changed: int
    found: Mapping[str, int]

    def __str__(self) -> str:
        """One line."""
        counts = ", ".join(f"{name} {count}" for name, count in self.found.items()) or "no pattern"
        return f"masked in {self.changed} of {self.texts} texts: {counts}"


class Masking:
    """Patterns and what takes the place of what they find: `<name>`.

    Args:
        patterns: Regular expressions by name, applied in this order.

    Raises:
        ConfigurationError: a name is not lower case letters, digits and underscores, or a pattern
            is no regular expression or matches the empty text.
    """

    def __init__(self, patterns: Mapping[str, str] = PATTERNS) -> None:
        self._patterns = {name: _compiled(name, pattern) for name, pattern in patterns.items()}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the patterns, in order."""
        return tuple(self._patterns)

    def apply(self, texts: Sequence[str]) -> tuple[list[str], MaskingReport]:
        """Each text with what was found replaced, in order, and the counts."""
        found, changed, masked = dict.fromkeys(self._patterns, 0), 0, []
        for text in texts:
            kept = text
            for name, pattern in self._patterns.items():
                kept, count = pattern.subn(f"<{name}>", kept)
                found[name] += count
            changed += kept != text
            masked.append(kept)
        return masked, MaskingReport(texts=len(masked), changed=changed, found=found)


def site_masking(folder: Path) -> Masking:
    """What the site's own `masking.toml` in `folder` asks for; without it, `PATTERNS`.

    `off` lists built-in patterns to leave out; the table `[patterns]` adds the site's own, which
    come first.

    Raises:
        DataError: the file is there and cannot be read.
        ConfigurationError: unknown key or name, or a wrong pattern.
    """
    path = folder / SETTINGS_FILE
    if not path.exists():
        return Masking()
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"expected TOML at {path}, got {error}") from error
    off, own = settings.pop("off", []), settings.pop("patterns", {})
    known = isinstance(off, list) and all(name in tuple(PATTERNS) for name in off)
    if settings or not isinstance(own, dict) or not known:
        raise ConfigurationError(
            f"{path} may hold off, a list of {', '.join(PATTERNS)}, and a table patterns; got "
            f"off = {off!r} and {sorted(settings) or type(own).__name__}"
        )
    kept = {name: pattern for name, pattern in PATTERNS.items() if name not in off}
    return Masking(own | {name: kept[name] for name in kept if name not in own})


def _compiled(name: str, pattern: object) -> re.Pattern[str]:
    if not _NAME.fullmatch(name) or not isinstance(pattern, str):
        raise ConfigurationError(
            "a pattern must be a text under a name of lower case letters, digits and underscores, "
            f"got {type(pattern).__name__} under {name!r}"
        )
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigurationError(
            f"pattern {name!r} must be a regular expression: {error}"
        ) from error
    if compiled.fullmatch("") is not None:
        raise ConfigurationError(f"pattern {name!r} must not match the empty text, got {pattern!r}")
    return compiled
