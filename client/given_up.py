"""Why a guard leaves a message without the answer that was asked for."""

from shared.errors import FederationError, ProtocolError


class GivenUp(ProtocolError):  # noqa: N818 - what happened
    """A message that ended the guard's process several times is not tried again."""


class TooLate(ProtocolError):  # noqa: N818 - what happened
    """The server's deadline for an answer has passed; nothing is charged for it."""


class Stopped(FederationError):  # noqa: N818 - what happened
    """The guard is to stop; what it had begun waits for its next start."""
