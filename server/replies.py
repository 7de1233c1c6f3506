"""A client's answer to a training instruction, or why there is none."""

import logging

from flwr.app import Message

from server.exchange import reason_of
from server.reasons import Reasons
from shared.errors import ProtocolError
from shared.messages import TrainReply

_LOGGER = logging.getLogger("murmura.server")


class LeftOut:
    """Who is lost for a round: each is said in the log, and all in one line at the end."""

    def __init__(self) -> None:
        self._reasons = Reasons()

    def begin(self) -> None:
        """Another attempt: nobody is lost yet."""
        self._reasons.clear()

    def __call__(self, what: str, client: str, why: str) -> None:
        """One client, of a round or question, and a reason without anything private in it."""
        _LOGGER.warning("%s: %s is left out: %s", what, client, why)
        self._reasons.add(client, why)

    def reasons(self) -> str:
        """Who was lost, and why, to follow a sentence; or nothing."""
        more = "a site's own log says more: murmura client logs"
        return f"; left out: {self._reasons}; {more}" if self._reasons else ""


def decoded(reply: Message) -> TrainReply:
    """The reply. Raises ProtocolError on an error or a message of another form."""
    if reply.has_error():
        raise ProtocolError(reason_of(reply))
    return TrainReply.from_record(reply.content)
