"""Where a client's code ends: nothing of an exception but its class goes on to the server."""

import logging
from collections.abc import Callable
from functools import wraps

from flwr.app import Context, Message

from shared.errors import ConfigurationError, FederationError, PrivacyError, ProtocolError

_LOGGER = logging.getLogger("murmura.client")
_MAY_BE_TOLD = (ConfigurationError, PrivacyError, ProtocolError)

Handler = Callable[[Message, Context], Message]


def edge(handler: Handler) -> Handler:
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
