"""Objects come as httpx would fetch them, in one piece; errors have httpx's names."""

import gc
import socket
import ssl
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.downloads import Downloads, in_one_piece
from tests.integration.certificates import CERTIFICATE, CERTIFICATE_KEY, certify

BODY = bytes(range(256)) * 1000
Answer = Callable[[socket.socket, bytes], None]


class Server:
    """Answers each request by `answer`; counts connections.

    Attributes:
        requests: Heads, as they came.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._context = context
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.connections = 0
        self.requests: list[bytes] = []
        self.answer: Answer = lambda to, _: to.sendall(head(len(BODY)) + BODY)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
                if self._context is not None:
                    accepted = self._context.wrap_socket(accepted, server_side=True)
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(accepted,), daemon=True).start()

    def _serve(self, accepted: socket.socket) -> None:
        with accepted, suppress(OSError):
            rest = b""
            while True:
                while b"\r\n\r\nasked" not in rest:
                    if not (more := accepted.recv(4096)):
                        return
                    rest += more
                asked, _, rest = rest.partition(b"asked")
                self.requests.append(asked)
                self.answer(accepted, asked)

    def close(self) -> None:
        """Accept no more."""
        self._listener.close()


def head(length: int | None, status: str = "200 OK", more: str = "") -> bytes:
    """Of an answer."""
    says = "" if length is None else f"content-length: {length}\r\n"
    return f"HTTP/1.1 {status}\r\n{says}{more}\r\n".encode()


@pytest.fixture
def server() -> Iterator[Server]:
    """Over plain HTTP."""
    made = Server()
    yield made
    made.close()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    """That fetches in one piece up to the length of BODY."""
    with httpx.Client(trust_env=False, timeout=20.0, headers={"x-own": "1"}) as made:
        in_one_piece(made, None, len(BODY))
        yield made


def fetched(client: httpx.Client, server: Server, path: str = "/v1/pull-object") -> httpx.Response:
    """One answer."""
    return client.post(f"http://{server.address}{path}", content=b"asked")


def test_an_object_comes_as_httpx_brings_it(client: httpx.Client, server: Server) -> None:
    """The same request, the same answer, one connection for many."""
    with httpx.Client(trust_env=False, headers={"x-own": "1"}) as plain:
        expected = fetched(plain, server)
    found = fetched(client, server)
    assert (found.status_code, found.content) == (200, BODY) == (200, expected.content)
    assert found.headers == expected.headers
    assert fetched(client, server).content == BODY
    ours = sorted(server.requests[1].lower().splitlines())
    assert ours == sorted(server.requests[0].lower().splitlines())
    assert server.connections == 2


@pytest.mark.parametrize("path", ["/v1/pull-object", "/v1/push-object"])
def test_an_answer_is_gone_with_the_last_who_holds_it(
    client: httpx.Client, server: Server, path: str
) -> None:
    """And its request; httpx's own would wait for the garbage collector."""
    gc.disable()
    try:
        with httpx.Client(trust_env=False) as plain:
            kept = weakref.ref(fetched(plain, server, path))
        assert kept() is not None
        answer = fetched(client, server, path)
        gone: list[weakref.ref[Any]] = [weakref.ref(answer), weakref.ref(answer.request)]
        del answer
        assert [found() for found in gone] == [None, None]
    finally:
        gc.enable()


def test_an_answer_that_another_hook_has_wrapped_is_left_alone() -> None:
    """Only httpx's own wrapping is undone."""
    with httpx.Client(trust_env=False) as made:
        in_one_piece(made, None, len(BODY))
        untied = made.event_hooks["response"][0]
        stream = httpx.ByteStream(b"kept")
        untied(answer := httpx.Response(200, stream=stream))
        assert answer.stream is stream


def test_everything_else_goes_httpx_s_way(client: httpx.Client, server: Server) -> None:
    """Over its own connections."""
    assert fetched(client, server, "/v1/push-object").content == BODY
    transport = client._transport
    assert isinstance(transport, Downloads)
    assert transport._idle == []


def test_a_connection_that_was_closed_meanwhile_is_not_used(
    client: httpx.Client, server: Server
) -> None:
    """Whether the server said so or not."""

    def and_close(to: socket.socket, _: bytes) -> None:
        to.sendall(head(2) + b"ok")
        to.shutdown(socket.SHUT_RDWR)

    server.answer = and_close
    assert fetched(client, server).content == b"ok"
    assert fetched(client, server).content == b"ok"
    server.answer = lambda to, _: to.sendall(head(2, more="connection: close\r\n") + b"ok")
    assert fetched(client, server).content == b"ok"
    assert client._transport._idle == []  # type: ignore[attr-defined] # ours
    assert server.connections == 3


def test_a_connection_that_ends_while_it_is_asked_is_asked_for_once_more_on_a_new_one(
    client: httpx.Client, server: Server
) -> None:
    """Once, and only where nothing came: the server reads the request and closes."""
    assert fetched(client, server).content == BODY

    def silent(to: socket.socket, _: bytes) -> None:
        to.close()
        server.answer = answers

    answers: Answer = server.answer
    server.answer = silent
    assert fetched(client, server).content == BODY
    assert (server.connections, len(server.requests)) == (2, 3)

    server.answer = lambda to, _: to.close()
    with pytest.raises(httpx.RemoteProtocolError):
        fetched(client, server)
    assert (server.connections, len(server.requests)) == (3, 5)


def test_what_a_server_takes_once_is_not_sent_again(server: Server) -> None:
    """Whoever signed it has to sign anew."""
    with httpx.Client(trust_env=False) as client:
        in_one_piece(client, again=False)
        assert fetched(client, server).content == BODY
        server.answer = lambda to, _: to.close()
        with pytest.raises(httpx.RemoteProtocolError):
            fetched(client, server)
    assert (server.connections, len(server.requests)) == (1, 2)


def test_an_answer_that_breaks_off_is_not_asked_for_again(
    client: httpx.Client, server: Server
) -> None:
    """A kept connection, too."""
    assert fetched(client, server).content == BODY

    def half(to: socket.socket, _: bytes) -> None:
        to.sendall(head(len(BODY)) + BODY[:100])
        to.close()

    server.answer = half
    with pytest.raises(httpx.RemoteProtocolError):
        fetched(client, server)
    assert (server.connections, len(server.requests)) == (1, 2)


def test_an_answer_without_a_length_ends_with_its_connection(
    client: httpx.Client, server: Server
) -> None:
    """As HTTP has it."""

    def until_closed(to: socket.socket, _: bytes) -> None:
        to.sendall(head(None) + BODY)
        to.shutdown(socket.SHUT_RDWR)

    server.answer = until_closed
    assert fetched(client, server).content == BODY


def test_a_status_is_handed_on(client: httpx.Client, server: Server) -> None:
    """With what the server says of it."""
    server.answer = lambda to, _: to.sendall(head(3, "404 Not Found") + b"why")
    assert (fetched(client, server).status_code, fetched(client, server).content) == (404, b"why")


def broken(sent: bytes) -> Answer:
    """Sends that, and goes."""

    def answer(to: socket.socket, _: bytes) -> None:
        to.sendall(sent)
        to.shutdown(socket.SHUT_RDWR)

    return answer


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (broken(b""), httpx.RemoteProtocolError),
        (broken(b"what?"), httpx.RemoteProtocolError),
        (broken(head(len(BODY)) + BODY[:99]), httpx.RemoteProtocolError),
        (broken(head(len(BODY) + 1)), httpx.ReadError),
        (broken(head(None) + BODY + b"!"), httpx.ReadError),
    ],
)
def test_what_goes_wrong_has_httpx_s_name(
    client: httpx.Client, server: Server, answer: Answer, error: type[Exception]
) -> None:
    """Nothing comes, nonsense, a part; too much, as it says or without a word."""
    server.answer = answer
    with pytest.raises(error):
        fetched(client, server)
    assert client._transport._idle == []  # type: ignore[attr-defined] # ours


def test_a_reset_and_a_silence_have_httpx_s_names(client: httpx.Client, server: Server) -> None:
    """A connection that breaks off, and one on which nothing comes in time."""

    def reset(to: socket.socket, _: bytes) -> None:
        to.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        to.close()

    server.answer = reset
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        fetched(client, server)
    server.answer = lambda _to, _asked: None
    client.timeout = httpx.Timeout(0.1)
    with pytest.raises(httpx.ReadTimeout):
        fetched(client, server)


def test_nobody_there_has_httpx_s_name(client: httpx.Client) -> None:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(httpx.ConnectError):
        client.post(f"http://127.0.0.1:{port}/pull-object", content=b"asked")


def test_what_comes_back_after_the_end_is_closed(server: Server) -> None:
    """A client that is closed while somebody fetches keeps no connection."""
    client = httpx.Client(trust_env=False)
    in_one_piece(client)

    def closing(to: socket.socket, _: bytes) -> None:
        client.close()
        to.sendall(head(2) + b"ok")

    server.answer = closing
    assert fetched(client, server).content == b"ok"
    assert client._transport._idle == []  # type: ignore[attr-defined] # ours


def test_over_tls_the_context_decides(tmp_path: Path) -> None:
    """Whom it trusts; without one httpx's own way is taken."""
    certify(tmp_path)
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    own.load_cert_chain(tmp_path / CERTIFICATE, tmp_path / CERTIFICATE_KEY)
    server = Server(own)
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.load_verify_locations(tmp_path / CERTIFICATE)
    for context in (trusting, None):
        with httpx.Client(verify=trusting, trust_env=False) as client:
            in_one_piece(client, context)
            found = client.post(f"https://{server.address}/pull-object", content=b"asked")
            assert found.content == BODY
            assert len(client._transport._idle) == (context is not None)  # type: ignore[attr-defined]
    with httpx.Client(trust_env=False) as client:
        in_one_piece(client, ssl.create_default_context())
        with pytest.raises(httpx.ConnectError, match="certificate"):
            client.post(f"https://{server.address}/pull-object", content=b"asked")
    server.close()
