"""A client's answer to a training instruction, or why there is none."""

import logging
from collections import Counter

from flwr.app import Message

from server.exchange import reason_of
from shared.errors import ProtocolError
from shared.messages import TrainReply

_LOGGER = logging.getLogger("murmura.server")
_TOLD = 3


class LeftOut:
    """Who is lost for a round: each is said in the log, and all in one line at the end."""

    def __init__(self) -> None:
        self._reasons = Counter[str]()

    def begin(self) -> None:
        """Another attempt: nobody is lost yet."""
        self._reasons.clear()

    def __call__(self, what: str, client: str, why: str) -> None:
        """One client, of a round or question, and a reason without anything private in it."""
        _LOGGER.warning("%s: %s is left out: %s", what, client, why)
        self._reasons[why] += 1

    def reasons(self) -> str:
        """How many were lost for the commonest reasons, to follow a sentence; or nothing."""
        told = [f"{count} ({why})" for why, count in self._reasons.most_common(_TOLD)]
        return f"; left out: {', '.join(told)}; a site's own log says more" if told else ""


def decoded(reply: Message) -> TrainReply:
    """The reply. Raises ProtocolError on an error or a message of another form."""
    if reply.has_error():
        raise ProtocolError(reason_of(reply))
    return TrainReply.from_record(reply.content)
