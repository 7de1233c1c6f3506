"""An ASGI application asked without a socket."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Headers = Iterable[tuple[bytes, bytes]]


@dataclass
class Answer:
    """What an application sent."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""


def scope_of(method: str, path: str, headers: Headers = (), peer: Any = None) -> dict[str, Any]:
    """A request's scope."""
    return {
        "type": "http",
        "method": method,
        "path": path,
        "headers": list(headers),
        "state": {"murmura.peer": peer},
        "client": ("192.0.2.1", 1),
    }


def receiving(*bodies: bytes) -> Callable[[], Awaitable[Mapping[str, Any]]]:
    """The parts of a body, then the end of the connection."""
    left = list(bodies)

    async def receive() -> Mapping[str, Any]:
        if left:
            part = left.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(left)}
        return {"type": "http.disconnect"}

    return receive


def ask(app: Any, scope: dict[str, Any], *bodies: bytes) -> Answer:
    """One request, answered."""
    answer = Answer()

    async def send(event: Mapping[str, Any]) -> None:
        if event["type"] == "http.response.start":
            answer.status, answer.headers = event["status"], dict(event["headers"])
        else:
            answer.body += event["body"]

    asyncio.run(app(scope, receiving(*(bodies or (b"",))), send))
    return answer
