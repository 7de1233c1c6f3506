"""The Flower ClientApp: decodes, calls the session, encodes; nothing else leaves a client."""

import logging
from collections.abc import Callable
from functools import wraps

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client.session import session
from shared.errors import ConfigurationError, FederationError, PrivacyError, ProtocolError
from shared.messages import TrainInstruction
from shared.query_messages import QueryInstruction

_LOGGER = logging.getLogger("murmura.client")
_MAY_BE_TOLD = (ConfigurationError, PrivacyError, ProtocolError)
_Handler = Callable[[Message, Context], Message]

app = ClientApp()


def _edge(handler: _Handler) -> _Handler:
    """Let nothing of an exception out but its class: Flower sends its text to the server."""

    @wraps(handler)
    def guarded(message: Message, context: Context) -> Message:
        try:
            return handler(message, context)
        except _MAY_BE_TOLD:
            raise
        except Exception as error:
            # Secrecy: the text of any other exception may hold paths or private values.
            _LOGGER.exception("this client failed; the server is told the class of the error")
            name = type(error).__name__
            raise FederationError(f"client failed ({name}); its own log says more") from None

    return guarded


@app.query("enrol")
@_edge
def enrol(message: Message, context: Context) -> Message:
    """Tell this node's stable name."""
    answer = session(context.run_config).enrol(context.node_config)
    return Message(answer.to_record(), reply_to=message)


@app.query("statistics")
@_edge
def statistics(message: Message, context: Context) -> Message:
    """Tell bounded, noised sums of the inputs."""
    return _queried(message, context)


@app.evaluate()
@_edge
def evaluate(message: Message, context: Context) -> Message:
    """Tell bounded, noised sums of the model's scores."""
    return _queried(message, context)


@app.train()
@_edge
def train(message: Message, context: Context) -> Message:
    """Train for one round and send the protected update."""
    instruction = TrainInstruction.from_record(message.content)
    reply = session(context.run_config).train(context.node_config, instruction)
    return Message(reply.to_record(), reply_to=message)


def _queried(message: Message, context: Context) -> Message:
    instruction = QueryInstruction.from_record(message.content)
    reply = session(context.run_config).query(context.node_config, instruction)
    return Message(reply.to_record(), reply_to=message)
