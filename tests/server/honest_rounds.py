"""An honest round through the public port, and what a refusal there looks like."""

import httpx
import numpy as np

from tests.server.flower_run import (
    PlayedRun,
    activate,
    pulled,
    pushed,
    record_of,
    reply_to,
    vector_of,
)
from tests.server.served import Served
from tests.server.site_client import FleetClient


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    content = answer.json()
    assert set(content) == {"error", "text"}
    assert "\n" not in content["text"]
    return answer.status_code, content["error"]


def plays_a_round(server: Served, site: FleetClient) -> None:
    """The honest round: asked, answered, the same numbers arrive."""
    run = PlayedRun(server.serving._superlink)
    node = activate(site)
    asked = run.ask(node, record_of(np.arange(1000, dtype=np.float32)))
    message = pulled(site, node)
    assert message is not None
    update = vector_of(message.content) * 2
    pushed(site, node, reply_to(message, record_of(update)))
    assert (vector_of(run.answer(asked)) == update).all()
    run.finish()
