"""A tiny server that a site can join over TLS: the contract of /enrol, /renew and /roster."""

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from client.joining import PREFIX
from shared.app_signatures import signed_bytes
from tests.client.authorities import LOOPBACK, TestAuthority

TOKEN = "t" * 43


@dataclass
class SiteServer:
    """What it answers can be changed; what it was asked is kept.

    Attributes:
        keeps: Whether a connection stays after an answer.
    """

    authority: TestAuthority
    port: int = 0
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    connections: int = 0
    changes: dict[str, Any] = field(default_factory=dict)
    refusal: tuple[int, bytes] | None = None
    roster: dict[str, Any] = field(default_factory=dict)
    days: float = 90.0
    headers: dict[str, str] = field(default_factory=dict)
    asking: Any = None
    keeps: bool = False

    @property
    def address(self) -> str:
        """Where it is."""
        return f"127.0.0.1:{self.port}"

    def line(self, **changes: Any) -> str:
        """An invitation."""
        content = {
            "address": self.address, "ca": self.authority.fingerprint, "token": TOKEN,
            "name": "site-a", "expires": 4102444800, **changes,
        }  # fmt: skip
        text = json.dumps({k: v for k, v in content.items() if v is not None}).encode()
        return PREFIX + base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    def handle(self, path: str, content: bytes, shown: str | None) -> tuple[int, bytes]:
        """Status and content; `shown`: the name in the certificate of whoever asks."""
        return self.answer(path, {**json.loads(content or b"{}"), "shown": shown})

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        """Status and content."""
        self.asked.append((path, body))
        if self.refusal is not None:
            return self.refusal
        if path == "/enrol":
            found: dict[str, Any] = {
                "certificate": self.authority.signed(body["csr"], days=self.days),
                "ca": self.authority.pem,
                "app_key": self.authority.app_hex,
                "name": body["name"],
            }
        elif path == "/renew":
            found = {"certificate": self.authority.signed(body["csr"])}
        elif path == "/roster":
            signature = self.authority.app_key.sign(signed_bytes(self.roster)).hex()
            found = {"roster": self.roster, "signature": signature}
        else:
            return 404, b"{}"
        return 200, json.dumps(found | self.changes).encode()


@contextmanager
def serving(
    folder: Path, authority: TestAuthority, *, named: bool = True, newest: bool = True
) -> Iterator[SiteServer]:
    """A `SiteServer` on loopback, with a certificate for it unless `named` says otherwise."""
    server = SiteServer(authority)
    with listening(folder, server, named=named, newest=newest):
        yield server


class Answers(Protocol):
    """What answers requests."""

    authority: TestAuthority
    port: int
    connections: int
    headers: dict[str, str]
    asking: Any
    keeps: bool

    def handle(self, path: str, content: bytes, shown: str | None) -> tuple[int, bytes]:
        """Status and content; status 0: there is no answer."""


@contextmanager
def listening(
    folder: Path, server: Answers, *, named: bool = True, newest: bool = True
) -> Iterator[None]:
    """`server` answers on loopback, over TLS."""
    names = LOOPBACK if named else LOOPBACK[:1]
    chain, key, trusted = server.authority.serve_with(folder, names)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not newest:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(chain, key)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(trusted)

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = self.rfile.read(length)
            shown = self.connection.getpeercert()
            name = shown["subject"][0][0][1] if shown else None
            server.asking = self.headers
            status, content = server.handle(self.path, body, name)
            self.close_connection = not (server.keeps and status)
            if not status:
                return  # the connection ends without an answer
            self.protocol_version = "HTTP/1.1" if server.keeps else "HTTP/1.0"
            self.send_response(status)
            for name, value in (("content-length", str(len(content))), *server.headers.items()):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET = _reply  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that went away is none."""

        def finish_request(self, request: Any, client_address: Any) -> None:
            server.connections += 1
            with context.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)

    with Server(("127.0.0.1", 0), Handler) as socket:
        server.port = socket.server_address[1]
        thread = threading.Thread(target=socket.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield
        socket.shutdown()
        thread.join()
