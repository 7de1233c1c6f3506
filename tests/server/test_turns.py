"""Of many requests at once some few are with Flower, and none waits for whoever reads slowly."""

import asyncio
from typing import Any

import pytest

from server import public_api
from server.public_api import PublicApi
from server.settings import Limits

SCOPE = {"type": "http", "path": "/v1/fleet/get-run"}


@pytest.fixture
def busy() -> list[int]:
    """How many requests are with Flower, and the most there ever were."""
    return [0, 0]


async def flower(busy: list[int], send: Any) -> None:
    """One that takes a while."""
    busy[0] += 1
    busy[1] = max(busy)
    await asyncio.sleep(0.01)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answer"})
    busy[0] -= 1


def test_so_many_at_once_and_all_in_turn(busy: list[int]) -> None:
    """Each gets its whole answer."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await flower(busy, send)

    nothing: Any = None

    async def ask() -> list[Any]:
        api = PublicApi(app, nothing, nothing, nothing, nothing, Limits())
        found: list[Any] = await asyncio.gather(
            *(api._of_flower("key", SCOPE, nothing) for _ in range(50))
        )
        return found

    answers = asyncio.run(ask())
    assert busy == [0, public_api._AT_FLOWER]
    assert all(
        [event.get("body", b"") for event in answer] == [b"", b"answer"] for answer in answers
    )
