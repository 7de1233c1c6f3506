"""Flower's layers are passed by where they do nothing, and asked wherever they may."""

import asyncio
from pathlib import Path
from typing import Any

from flwr.superlink.routers.control.middlewares import ControlAuthenticationMiddleware
from flwr.superlink.routers.fleet.node_auth import NodeAuthMiddleware
from starlette.middleware.base import BaseHTTPMiddleware

from server.middleware import IDLE, Passed
from server.superlink import SuperLink


def test_flowers_layers_are_those_that_are_known(tmp_path: Path) -> None:
    """All that may be passed by are there, and node authentication is as Flower has it."""
    link = SuperLink(tmp_path / "state.db", b"s" * 32, b"k" * 32)
    layers: list[Any] = list(link.app.user_middleware)
    passed = {layer.kwargs["layer"] for layer in layers if layer.cls is Passed}
    assert passed == set(IDLE)
    kept = [layer.cls for layer in layers if layer.cls is not Passed]
    assert NodeAuthMiddleware in kept
    assert ControlAuthenticationMiddleware not in kept
    assert len(kept) == 4
    link.close()


def test_a_layer_is_passed_by_on_its_paths_alone() -> None:
    """Not on one that only looks like them; and not where there is no path."""
    asked = list[str]()

    async def inside(scope: Any, _receive: Any, _send: Any) -> None:
        asked.append(f"inside {scope.get('path')}")

    class Layer(BaseHTTPMiddleware):
        async def __call__(self, scope: Any, _receive: Any, _send: Any) -> None:
            asked.append(f"layer {scope.get('path')}")

    passed = Passed(inside, Layer, ("/v1/fleet/",))
    for scope in (
        {"type": "http", "path": "/v1/fleet/get-run"}, {"type": "http", "path": "/v1/fleet"},
        {"type": "http", "path": "/v1/control/start-run"}, {"type": "lifespan"},
    ):  # fmt: skip
        asyncio.run(passed(scope, None, None))
    assert asked == [
        "inside /v1/fleet/get-run", "layer /v1/fleet", "layer /v1/control/start-run", "layer None",
    ]  # fmt: skip
