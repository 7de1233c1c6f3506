"""The page of a run, served on this machine to this account alone; nothing can be changed by it.

A page of another origin can neither read it (no such headers) nor reach it under a name of its own
(the name asked for must be this machine's); another account of the machine gets no answer.
"""

import ipaddress
import json
import re
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from murmura.course import Course
from murmura.machine import json_line
from murmura.page_frame import policy
from murmura.watch_page import parts, title, whole
from server.local_owner import opened_by_owner
from shared.errors import ConfigurationError, FederationError, StateError

STATE = "/state"
_EVERY_MS = 2000
_LOCAL = re.compile(r"(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?", re.IGNORECASE)

# Places keep their order; a table that was unfolded stays so.
SCRIPT = """
"use strict";
const shown = {};
const said = document.getElementById("said");
function put(at, markup) {
  if (shown[at] === markup) return;
  shown[at] = markup;
  let place = document.getElementById(at);
  if (!place) {
    place = document.createElement("div");
    place.id = at;
    document.getElementById("plots").append(place);
  }
  const unfolded = place.querySelector("details[open]") !== null;
  const focused = place.contains(document.activeElement);
  place.innerHTML = markup;
  const details = place.querySelector("details");
  if (details && unfolded) details.open = true;
  if (details && focused) details.querySelector("summary").focus();
}
async function look() {
  try {
    const answer = await fetch("state", {cache: "no-store"});
    const state = await answer.json();
    if (!answer.ok) throw new Error(state.error);
    document.title = state.title;
    for (const [at, markup] of Object.entries(state.parts)) put(at, markup);
    said.textContent = "";
  } catch (error) {
    said.textContent = "Nothing new: " + error.message + ". Asked again in a moment.";
  }
  setTimeout(look, EVERY);
}
setTimeout(look, EVERY);
""".replace("EVERY", str(_EVERY_MS))

_HEADERS = {
    "Content-Security-Policy": f"{policy(script=SCRIPT)}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class WatchServer(ThreadingHTTPServer):
    """Serves one run; made, it listens.

    Args:
        course: The run.
        address: Of this machine's loopback.
        port: 0 takes a free one.

    Raises:
        ConfigurationError: the address is another machine's or the network's.
        StateError: the port cannot be had.
    """

    daemon_threads = True

    def __init__(self, course: Course, address: str, port: int) -> None:
        self._course, self._looking = course, threading.Lock()
        # Guarantee: whoever reaches this machine over a network does not reach the page.
        self.address_family = loopback_family(address)
        try:
            super().__init__((address, port), _Handler)
        except (OSError, OverflowError) as error:
            raise StateError(f"port {port} of {address} cannot be had: {error}") from error

    @property
    def url(self) -> str:
        """What to open."""
        host, port = self.server_address[:2]
        name = f"[{host!s}]" if self.address_family == socket.AF_INET6 else host
        return f"http://{name!s}:{port}/"

    def verify_request(self, request: object, client_address: object) -> bool:
        """Whether this account, or root, asks."""
        del client_address
        return isinstance(request, socket.socket) and opened_by_owner(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that leaves early is none of ours."""

    def page(self) -> str:
        """As the run is now."""
        with self._looking:
            return whole(self._course.look(), script=SCRIPT)

    def state(self) -> str:
        """Every part of the page, and the run in numbers."""
        with self._looking:
            course = self._course.look()
            return json_line(
                {"title": title(course), "parts": parts(course), "run": course.to_json()}
            )


class _Handler(BaseHTTPRequestHandler):
    """Answers GET for two paths."""

    server: WatchServer
    timeout = 10
    server_version, sys_version = "murmura", ""
    error_content_type, error_message_format = "text/plain; charset=utf-8", "%(code)d %(message)s\n"

    def do_GET(self) -> None:
        """The page, or its state."""
        hosts = self.headers.get_all("Host") or []
        # Guarantee: under a foreign name that leads here (DNS rebinding) nothing is told.
        if len(hosts) != 1 or not _LOCAL.fullmatch(hosts[0].strip()):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "Ask for this machine by its own name")
        elif self.path == "/":
            self._answer("text/html; charset=utf-8", self.server.page)
        elif self.path == STATE:
            self._answer("application/json", self.server.state)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _answer(self, kind: str, content: Callable[[], str]) -> None:
        status = HTTPStatus.OK
        try:
            text = content()
        except FederationError as error:
            status, kind = HTTPStatus.INTERNAL_SERVER_ERROR, "application/json"
            text = json.dumps({"error": str(error)})
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def end_headers(self) -> None:
        """Every answer has them, errors too."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


def loopback_family(address: str) -> socket.AddressFamily:
    """Of a numeric address of this machine's loopback. Raises ConfigurationError on any other."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        found = None
    if found is None or not found.is_loopback:
        raise ConfigurationError(
            "the page is served on this machine's loopback only, 127.0.0.1 or ::1, got "
            f"{address!r}; from elsewhere: ssh -L"
        )
    return socket.AF_INET6 if found.version == 6 else socket.AF_INET
