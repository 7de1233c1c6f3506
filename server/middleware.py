"""Flower's middleware, each only on the paths where it has something to do.

Flower puts nine layers around every request, six of which look at the path of a site's request
and hand it on. A layer costs more than most of the requests themselves, and a site's round is some
thirty requests. What checks who asks (`NodeAuthMiddleware`) stays on every path.
"""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from flwr.superlink.routers.control.middlewares import (
    ControlAuthenticationMiddleware,
    ControlEventLogMiddleware,
    ControlLicenseMiddleware,
    ControlSensitiveResponseMiddleware,
)
from flwr.superlink.routers.fleet.middlewares import FleetEventLogMiddleware
from starlette.middleware import Middleware

FLEET, RUNTIME = "/v1/fleet/", "/v1/runtime/"
Application = Callable[..., Any]
# Guarantee: on these paths each hands the request on as it is; on any other path, unknown ones
# too, it is asked as before. Flower's event log is off here.
IDLE: dict[type[Any], tuple[str, ...]] = {
    ControlSensitiveResponseMiddleware: (FLEET, RUNTIME),
    ControlAuthenticationMiddleware: (FLEET, RUNTIME),
    ControlLicenseMiddleware: (FLEET, RUNTIME),
    ControlEventLogMiddleware: (FLEET, RUNTIME),
    FleetEventLogMiddleware: (FLEET, RUNTIME),
}


class Passed:
    """A layer that some paths pass by.

    Args:
        app: What is inside of it.
        layer: Makes it of what is inside.
        paths: Beginnings of the paths that pass it by.
    """

    def __init__(
        self, app: Application, layer: Callable[[Application], Application], paths: tuple[str, ...]
    ) -> None:
        self._inside, self._layer, self._paths = app, layer(app), paths

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        path = str(scope.get("path", "")) if scope["type"] == "http" else ""
        inner = self._inside if path.startswith(self._paths) else self._layer
        await inner(scope, receive, send)


def lean(app: FastAPI) -> FastAPI:
    """`app`, Flower's, before its first request."""
    app.user_middleware[:] = [_passed(layer) for layer in app.user_middleware]
    return app


def _passed(layer: Middleware) -> Middleware:
    kind: Any = layer.cls
    if kind not in IDLE or layer.args or layer.kwargs:
        return layer
    return Middleware(Passed, layer=kind, paths=IDLE[kind])
