"""A client's answer to a training instruction, or why there is none."""

import logging

from flwr.app import Message

from server.exchange import reason_of
from shared.errors import ProtocolError
from shared.messages import TrainReply

_LOGGER = logging.getLogger("murmura.server")


def left_out(round_number: int, client: str, why: str) -> None:
    """Say in the log that a client is lost for a round."""
    _LOGGER.warning("round %d: %s is left out: %s", round_number, client, why)


def decoded(reply: Message) -> TrainReply:
    """The reply. Raises ProtocolError on an error or a message of another form."""
    if reply.has_error():
        raise ProtocolError(reason_of(reply))
    return TrainReply.from_record(reply.content)
