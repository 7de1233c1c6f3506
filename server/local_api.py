"""The port on loopback: Flower's whole interface, and what this server tells of itself."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from server.home import STATUS_PATH
from server.limits import Receive, Scope, Send
from server.public_api import respond
from shared.prometheus import CONTENT_TYPE, metric

METRICS_PATH = "/metrics"
_OF_A_RUN = {
    "rounds_done": "round",
    "rounds_planned": "rounds",
    "asked": "asked",
    "survivors": "survivors",
    "epsilon": "epsilon",
    "epsilon_budget": "epsilon_budget",
}
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
        metric("sites", "gauge", {"": len(sites)}),
        metric("sites_online", "gauge", {"": sum(site["online"] for site in sites)}),
        metric("runs", "gauge", {"": len(status["runs"])}),
        metric("certificate_days_left", "gauge", {"": round(status["certificate_days"], 2)}),
        metric("connections", "gauge", status["connections"], "of"),
        metric("refused_total", "counter", status["refused"], "code"),
        metric("bytes_total", "counter", status["traffic"], "direction"),
        metric("restarts_total", "counter", {"": status["restarts"]}),
    ]
    run = status["newest_run"]
    if run is not None:
        lines += [
            metric(name, "gauge", {run["run"]: run[key]}, "run")
            for name, key in _OF_A_RUN.items()
            if key in run
        ]
    return "".join(lines)


async def _respond_text(send: Send, text: str) -> None:
    body = text.encode()
    headers = [
        (b"content-type", CONTENT_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
