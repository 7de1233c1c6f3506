"""Flower's objects over HTTP, each read in one piece into where it stays.

httpx takes an answer in pieces of a TLS record and hands every one through four layers: of fetching
a model that is most of the work. Here one kind of request, and no other, is asked by Python's own
client for HTTP, over connections of its own to the same server; whatever goes wrong has httpx's
names, so that nobody who asks can tell the difference.
"""

import select
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any

import httpx
from httpx._client import BoundSyncStream

_PATH = "/pull-object"
LARGEST = 32 << 20
_ENDED = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)


class Downloads(httpx.BaseTransport):
    """Everything but objects goes the way that `inner` goes.

    Args:
        inner: httpx's own.
        context: Whom to trust over TLS; None: plain HTTP alone.
        largest: Bytes of an answer.
        again: Whether a request that a kept connection ended on is sent again as it is.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        context: ssl.SSLContext | None = None,
        largest: int = LARGEST,
        *,
        again: bool = True,
    ) -> None:
        self._inner, self._context, self._largest = inner, context, largest
        self._again = again
        self._idle: list[HTTPConnection] = []
        self._lock, self._closed = threading.Lock(), False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx has it."""
        secure = request.url.scheme == "https"
        if not request.url.path.endswith(_PATH) or (secure and self._context is None):
            return self._inner.handle_request(request)
        kept = self._taken()
        if kept is not None:
            try:
                return self._answered(kept, request)
            except _EndedError:
                # Between the look at it and the request: nothing came, and to ask twice for an
                # object changes nothing.
                if not self._again:
                    raise
        return self._answered(self._fresh(request.url), request)

    def _answered(self, connection: HTTPConnection, request: httpx.Request) -> httpx.Response:
        with ExitStack() as broken:
            broken.callback(connection.close)
            answer, content = self._asked(connection, request)
            if not answer.will_close:
                broken.pop_all()
                self._put_back(connection)
        return httpx.Response(
            answer.status, headers=answer.getheaders(), stream=httpx.ByteStream(content)
        )

    def close(self) -> None:
        """As httpx has it."""
        with self._lock:
            self._closed = True
            for connection in self._idle:
                connection.close()
            self._idle.clear()
        self._inner.close()

    def _asked(
        self, connection: HTTPConnection, request: httpx.Request
    ) -> tuple[HTTPResponse, bytes]:
        allowed = request.extensions.get("timeout", {})
        if connection.sock is None:
            with _named(httpx.ConnectTimeout, httpx.ConnectError):
                connection.timeout = allowed.get("connect")
                connection.connect()
        with _named(httpx.ReadTimeout, httpx.ReadError):
            connection.sock.settimeout(allowed.get("read"))
            try:
                answer = _answer_to(connection, request)
            except _ENDED as error:
                raise _EndedError(f"{type(error).__name__}: {error}") from error
            # Guarantee: no more is read than what is allowed, whatever the server says.
            if answer.length is not None and answer.length > self._largest:
                raise httpx.ReadError("the answer is too large")
            whole = answer.length is not None
            content = answer.read() if whole else answer.read(self._largest + 1)
        if len(content) > self._largest:
            raise httpx.ReadError("the answer is too large")
        return answer, content

    def _fresh(self, url: httpx.URL) -> HTTPConnection:
        port = url.port or (443 if url.scheme == "https" else 80)
        if url.scheme == "https":
            return HTTPSConnection(url.host, port, context=self._context)
        return HTTPConnection(url.host, port)

    def _taken(self) -> HTTPConnection | None:
        """A connection that is open still, as far as can be seen."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if not _has_ended(connection.sock):
                return connection
            connection.close()

    def _put_back(self, connection: HTTPConnection) -> None:
        with self._lock:
            if self._closed:
                connection.close()
            else:
                self._idle.append(connection)


class _EndedError(httpx.RemoteProtocolError):
    """The connection was closed before a byte of an answer; httpx's name for it."""


def _answer_to(connection: HTTPConnection, request: httpx.Request) -> HTTPResponse:
    """Its head is read, its content is not."""
    target = request.url.raw_path.decode("ascii")
    connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers.raw:
        connection.putheader(name, value)
    connection.endheaders(request.read())
    return connection.getresponse()


@contextmanager
def _named(late: type[httpx.TransportError], failed: type[httpx.TransportError]) -> Iterator[None]:
    """Raise what Python's client raises as httpx would."""
    try:
        yield
    except TimeoutError as error:
        raise late(str(error) or "too slow") from error
    except HTTPException as error:
        raise httpx.RemoteProtocolError(f"{type(error).__name__}: {error}") from error
    except OSError as error:  # every ssl.SSLError is one
        raise failed(str(error)) from error


def _has_ended(sock: Any) -> bool:
    """Whether something can be read where nothing was asked: the end, that is."""
    looked = select.poll()
    looked.register(sock, select.POLLIN)
    return bool(looked.poll(0))


def in_one_piece(
    client: httpx.Client,
    context: ssl.SSLContext | None = None,
    largest: int = LARGEST,
    *,
    again: bool = True,
) -> None:
    """`client` fetches objects so from now on; arguments as `Downloads` takes them.

    What an answer brought, and its request, are gone with the last who holds the answer.
    """
    inner = client._transport  # noqa: SLF001
    client._transport = Downloads(inner, context, largest, again=again)  # noqa: SLF001
    client.event_hooks["response"].insert(0, _untied)


def _untied(response: httpx.Response) -> None:
    """Undo a cycle of httpx's: of a model's parts dozens would wait for the garbage collector."""
    if isinstance(response.stream, BoundSyncStream):
        response.stream = response.stream._stream  # noqa: SLF001 - all it adds is a time
