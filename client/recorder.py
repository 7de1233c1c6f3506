"""Where a site's guard says what happened: its audit log, or nowhere."""

from typing import Protocol


class Recorder(Protocol):
    """Keeps events; raises what its log raises, and then nothing leaves the site."""

    def __call__(self, event: str, /, **detail: str | int) -> None:
        """Keep one event."""


def unrecorded(event: str, /, **detail: str | int) -> None:
    """Keep nothing."""
    del event, detail
