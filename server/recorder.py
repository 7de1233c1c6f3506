"""Where the server says what happened: its audit log, signed by the app key, or nowhere."""

from typing import Protocol

from server.app_key import read_app_key
from server.home import ServerHome
from shared.home_log import HomeLog


class Recorder(Protocol):
    """Keeps events; raises what its log raises, and then what was to be recorded is not done."""

    def __call__(self, event: str, /, **detail: str | int) -> None:
        """Keep one event."""


def unrecorded(event: str, /, **detail: str | int) -> None:
    """Keep nothing."""
    del event, detail


def recorder_of(home: ServerHome) -> Recorder:
    """What the processes and commands of one home record with."""
    return HomeLog(home.audit, lambda: read_app_key(home))
