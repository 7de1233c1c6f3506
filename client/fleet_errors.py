"""What a server's answer, or its silence, means to a guard: each by one name."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from flwr.supercore.error import ApiErrorCode, FlowerError

from shared.errors import ProtocolError

_TRANSIENT = {408, 429, 500, 502, 503, 504}
_WRONG = {400, 404, 405, 409, 413, 414, 415, 422}
_OVER = {
    ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED,
    ApiErrorCode.FLEET_GET_RUN_FAILED,
    ApiErrorCode.FLEET_GET_FAB_FAILED,
}


class FleetUnavailable(ProtocolError):  # noqa: N818 - what happened
    """The server does not answer now; to be tried again."""


class ConnectionEnded(FleetUnavailable):
    """The connection ended before the whole answer was there."""


class FleetRefused(ProtocolError):  # noqa: N818 - what happened
    """The server refuses this site: certificate, node key, clock or address."""


class RequestRefused(FleetRefused):
    """The server takes this request not, whoever sends it: too large, or of another form."""


class RunOver(ProtocolError):  # noqa: N818 - what happened
    """The run that this belongs to is not running any more."""


@contextmanager
def named_errors() -> Iterator[None]:
    """Raise what Flower's client raises as one of the errors above."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        told = FlowerError.from_json(error.response.text)
        if told is not None and told.code in _OVER:
            raise RunOver("the run is not running") from error
        if status in _TRANSIENT:
            raise FleetUnavailable(f"the server answers with status {status}") from error
        if status in _WRONG:
            raise RequestRefused(f"the server does not take this request: {status}") from error
        raise FleetRefused(
            f"the server refuses this site with status {status}: certificate, node key or clock"
        ) from error
    except httpx.RemoteProtocolError as error:
        raise ConnectionEnded(f"{type(error).__name__}: {error}") from error
    except httpx.TransportError as error:
        raise FleetUnavailable(f"{type(error).__name__}: {error}") from error
    except ValueError as error:  # Flower's client, of an answer that is no protobuf
        raise FleetUnavailable("the server's answer is none of the Fleet API") from error
