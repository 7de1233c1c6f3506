"""The port on loopback: Flower's whole interface, and what this server tells of itself."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from server.limits import Receive, Scope, Send
from server.public_api import respond

STATUS_PATH, METRICS_PATH = "/murmura/status", "/metrics"
Status = Callable[[], Awaitable[Mapping[str, Any]]]


class LocalApi:
    """The application of the internal port.

    Args:
        flower: Flower's whole application.
        status: What is told at `STATUS_PATH`, and in numbers at `METRICS_PATH`.
    """

    def __init__(self, flower: Callable[..., Awaitable[None]], status: Status) -> None:
        self._flower, self._status = flower, status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["method"] == "GET":
            if scope["path"] == STATUS_PATH:
                await respond(send, 200, await self._status())
                return
            if scope["path"] == METRICS_PATH:
                await _respond_text(send, metrics(await self._status()))
                return
        await self._flower({**scope, "state": {}}, receive, send)


def metrics(status: Mapping[str, Any]) -> str:
    """`status` in Prometheus' text format."""
    sites = [site for site in status["sites"] if site["state"] == "active"]
    lines = [
        _metric("sites", "gauge", {"": len(sites)}),
        _metric("sites_online", "gauge", {"": sum(site["online"] for site in sites)}),
        _metric("runs", "gauge", {"": len(status["runs"])}),
        _metric("certificate_days_left", "gauge", {"": round(status["certificate_days"], 2)}),
        _metric("connections", "gauge", _labelled("of", status["connections"])),
        _metric("refused_total", "counter", _labelled("code", status["refused"])),
    ]
    return "".join(lines)


def _labelled(label: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f'{{{label}="{key}"}}': value for key, value in sorted(values.items())}


def _metric(name: str, kind: str, values: Mapping[str, float]) -> str:
    rows = "".join(f"murmura_{name}{labels} {value}\n" for labels, value in values.items())
    return f"# TYPE murmura_{name} {kind}\n{rows}"


async def _respond_text(send: Send, text: str) -> None:
    body = text.encode()
    headers = [
        (b"content-type", b"text/plain; version=0.0.4"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
