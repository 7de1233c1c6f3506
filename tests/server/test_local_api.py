"""The internal port's own pages; all else is Flower's."""

import json
from collections.abc import Mapping
from typing import Any

from server.home import STATUS_PATH
from server.local_api import METRICS_PATH, LocalApi, metrics
from server.public_api import respond
from tests.server.asgi import ask, scope_of

STATUS: dict[str, Any] = {
    "sites": [
        {"name": "a", "state": "active", "online": True},
        {"name": "b", "state": "active", "online": False},
        {"name": "c", "state": "revoked", "online": False},
    ],
    "runs": [{}],
    "connections": {"newcomers": 1, "sites": 2},
    "refused": {"token_used": 3},
    "certificate_days": 12.3456,
    "traffic": {"in": 5, "out": 6},
    "restarts": 1,
    "newest_run": None,
}


async def flower(_scope: Any, _receive: Any, send: Any) -> None:
    """Answers like nothing else here."""
    await respond(send, 299, {"flower": True})


async def status() -> Mapping[str, Any]:
    """Of a server with three sites."""
    return STATUS


def test_status_and_metrics_are_told_and_the_rest_is_flowers() -> None:
    """By method and path."""
    app = LocalApi(flower, status)
    assert json.loads(ask(app, scope_of("GET", STATUS_PATH)).body) == STATUS
    answer = ask(app, scope_of("GET", METRICS_PATH))
    assert answer.body.decode() == metrics(STATUS)
    assert answer.headers[b"content-type"].startswith(b"text/plain")
    assert ask(app, scope_of("POST", STATUS_PATH)).status == 299
    assert ask(app, scope_of("GET", "/v1/control/list-runs")).status == 299


def test_metrics_are_prometheus_lines() -> None:
    """Each with its type; revoked sites are not counted."""
    assert metrics(STATUS).splitlines() == [
        "# TYPE murmura_sites gauge",
        "murmura_sites 2",
        "# TYPE murmura_sites_online gauge",
        "murmura_sites_online 1",
        "# TYPE murmura_runs gauge",
        "murmura_runs 1",
        "# TYPE murmura_certificate_days_left gauge",
        "murmura_certificate_days_left 12.35",
        "# TYPE murmura_connections gauge",
        'murmura_connections{of="newcomers"} 1',
        'murmura_connections{of="sites"} 2',
        "# TYPE murmura_refused_total counter",
        'murmura_refused_total{code="token_used"} 3',
        "# TYPE murmura_bytes_total counter",
        'murmura_bytes_total{direction="in"} 5',
        'murmura_bytes_total{direction="out"} 6',
        "# TYPE murmura_restarts_total counter",
        "murmura_restarts_total 1",
    ]


def test_the_newest_run_is_told_in_numbers() -> None:
    """Rounds, survivors, spending; what it has not is left out."""
    run = {"run": "r1", "round": 3, "rounds": 9, "asked": 4, "survivors": 2, "epsilon_budget": 8.0}
    told = metrics(STATUS | {"newest_run": run})
    for line in (
        'murmura_rounds_done{run="r1"} 3', 'murmura_rounds_planned{run="r1"} 9',
        'murmura_survivors{run="r1"} 2', 'murmura_epsilon_budget{run="r1"} 8.0',
    ):  # fmt: skip
        assert f"{line}\n" in told
    assert "murmura_epsilon{" not in told
    assert 'murmura_epsilon{run="r1"} 1.5\n' in metrics(
        STATUS | {"newest_run": run | {"epsilon": 1.5}}
    )
