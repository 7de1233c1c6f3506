"""Runs of this server, submitted and stopped over its internal port.

Flower's Control API: protobuf over HTTP. Only messages and paths of Flower's are used, no client of
its own: that reads settings, proxies and accounts from around. tests/server/test_run_control.py
holds the contract.

Source: Flower 1.41, `flwr.supercore.control.ControlHttpClient` and `flwr.cli.run`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import Any, TypeVar

from flwr.common.serde import fab_to_proto, user_config_from_proto, user_config_to_proto
from flwr.proto.control_pb2 import (
    ListRunsRequest,
    ListRunsResponse,
    StartRunRequest,
    StartRunResponse,
    StopRunRequest,
    StopRunResponse,
)
from flwr.supercore.error import FlowerError
from flwr.supercore.fab import Fab
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from google.protobuf.message import DecodeError, Message

from shared.config import Scalar
from shared.errors import FederationError, StateError

_FINISHED, _STOPPED = "finished", "stopped"
_RAISED = "ServerApp failed with exception: "
_TIMEOUT_S = 30.0
_MOST_RUNS = 1000
_OK = 200
_PATH = "/v1/control/"
_Answer = TypeVar("_Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class SubmittedRun:
    """A run as Flower knows it.

    Attributes:
        number: Flower's.
        name: Of its run folder; "" if whoever submitted it chose none.
        status: pending, starting, running, finished:completed, finished:failed, finished:stopped.
        details: Why it failed.
    """

    number: str
    name: str
    status: str
    details: str

    @property
    def over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status.startswith(_FINISHED)

    @property
    def stopped(self) -> bool:
        """Whether somebody asked for its end."""
        return self.over and self.status.endswith(_STOPPED)

    @property
    def raised(self) -> tuple[str, str]:
        """Class and text of what the server's part raised, as server/app.py told it."""
        kind, colon, text = self.details.removeprefix(_RAISED).partition(": ")
        return (kind, text) if colon and kind.isidentifier() else ("", self.details)


class RunControl:
    """What the running service does for whoever may reach its internal port.

    Args:
        port: The service's, on loopback.
    """

    def __init__(self, port: int) -> None:
        self._port = port

    def start(self, bundle: bytes, overrides: Mapping[str, Scalar]) -> str:
        """Submit an app bundle with settings of its own; the run's number.

        Raises:
            StateError: the service does not answer.
            FederationError: it refuses.
        """
        request = StartRunRequest(
            fab=fab_to_proto(Fab(hashlib.sha256(bundle).hexdigest(), bundle, {})),
            override_config=user_config_to_proto(dict(overrides)),
        )
        answer = self._ask("start-run", request, StartRunResponse)
        if not answer.HasField("run_id"):
            raise FederationError("expected the service to take the run, got no number")
        return str(answer.run_id)

    def stop(self, number: str) -> None:
        """End a run. Raises StateError, and FederationError if it has ended already."""
        self._ask("stop-run", StopRunRequest(run_id=int(number)), StopRunResponse)

    def runs(self, number: str | None = None) -> list[SubmittedRun]:
        """Every run, or that of `number`, newest last. Raises StateError and FederationError."""
        given = {"limit": _MOST_RUNS} if number is None else {"run_id": int(number)}
        request = ListRunsRequest(**given)
        answer = self._ask("list-runs", request, ListRunsResponse)
        return [
            _submitted(run) for run in sorted(answer.run_dict.values(), key=lambda r: r.pending_at)
        ]

    def run(self, number: str) -> SubmittedRun:
        """One run. Raises StateError and FederationError."""
        (found,) = self.runs(number)
        return found

    def _ask(self, verb: str, request: Message, kind: type[_Answer]) -> _Answer:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=_TIMEOUT_S)
        try:
            connection.request(
                "POST",
                f"{_PATH}{verb}",
                body=request.SerializeToString(),
                headers={"content-type": PROTOBUF_MEDIA_TYPE, "accept": PROTOBUF_MEDIA_TYPE},
            )
            response = connection.getresponse()
            content = response.read()
        except (OSError, HTTPException) as error:
            raise StateError(f"the service does not answer: {error}") from error
        finally:
            connection.close()
        if response.status != _OK:
            raise FederationError(
                f"the service refused {verb}: {_reason(content, response.status)}"
            )
        answer: _Answer = kind()
        try:
            answer.ParseFromString(content)
        except DecodeError as error:
            raise StateError("the service answers something else than Flower does") from error
        return answer


def _reason(content: bytes, status: int) -> str:
    found = FlowerError.from_json(content.decode(errors="replace"))
    return f"HTTP {status}" if found is None else str(found)


def _submitted(run: Any) -> SubmittedRun:
    settings = user_config_from_proto(run.override_config)
    status = ":".join(filter(None, (run.status.status, run.status.sub_status)))
    return SubmittedRun(
        number=str(run.run_id),
        name=str(settings.get("output.run_id", "")),
        status=status,
        details=run.status.details,
    )
