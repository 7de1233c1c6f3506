"""Whom a round or a run goes without, and why, in one line: each reason once, with who gave it.

A site tells the class of an error alone; what stopped it in particular stands in its own log.
"""

from collections.abc import Iterator

_NAMED, _TOLD = 5, 3
# Whoever tells the reasons says it once, of all of them.
_MORE = "; its own log says more"
_WORDS = {
    "AggregationRefused": "its rules of secure aggregation, or its roster, do not allow it",
    "BudgetExhausted": "its privacy budget does not allow it",
    "BundleRefused": "the app bundle is malformed",
    "ConfigurationError": "the settings are wrong there",
    "NotApproved": "its operator has not approved the app bundle",
    "PolicyRefused": "its policy does not allow it",
    "PrivacyError": "its privacy would not be kept",
}


class Reasons:
    """Who was lost, by reason; the commonest reasons are told, with the first few names of each."""

    def __init__(self) -> None:
        self._who: dict[str, list[str]] = {}

    def __bool__(self) -> bool:
        """Whether anybody was."""
        return bool(self._who)

    def clear(self) -> None:
        """Nobody is lost yet."""
        self._who.clear()

    def add(self, who: str, why: str) -> None:
        """One more, and a reason without anything private in it."""
        self._who.setdefault(why.removesuffix(_MORE), []).append(who)

    def __str__(self) -> str:
        """In one line."""
        ordered = sorted(self._who.items(), key=lambda found: -len(found[1]))
        told = [_told(why, who) for why, who in ordered[:_TOLD]]
        rest = sum(len(who) for _, who in ordered[_TOLD:])
        return "; ".join([*told, *([f"{rest} more for other reasons"] if rest else [])])


def _told(why: str, who: list[str]) -> str:
    return f"{', '.join(_named(who))}: {f'{why} ({_WORDS[why]})' if why in _WORDS else why}"


def _named(who: list[str]) -> Iterator[str]:
    yield from sorted(who[:_NAMED])
    if len(who) > _NAMED:
        yield f"and {len(who) - _NAMED} more"
