"""How long to wait before a server is tried again: longer each time, and not when all others do."""

import secrets
import threading

_FIRST_S, _LONGEST_S, _FACTOR = 0.5, 30.0, 2.0
_REFUSED_S = 600.0


class BackOff:
    """Waits that grow, each between half and all of its length.

    Args:
        stop: Ends a wait.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        self._next_s, self._refused_s = _FIRST_S, _LONGEST_S

    def sleep(self, *, refused: bool = False) -> float:
        """Wait; returns how long it was meant to be.

        Args:
            refused: Trying again soon would not help, and each refusal is a line of a log.
        """
        whole = self._next_s
        if refused:
            whole, self._refused_s = self._refused_s, min(self._refused_s * _FACTOR, _REFUSED_S)
        # Many sites that lost a server do not come back in one moment.
        planned = whole * (0.5 + secrets.randbelow(1000) / 2000)
        self._stop.wait(planned)
        self._next_s = min(self._next_s * _FACTOR, _LONGEST_S)
        return planned
