"""Objects travel in Flower's form."""

from typing import Any

import pytest
from flwr.proto.message_pb2 import PullObjectRequest, PullObjectResponse, PushObjectRequest
from flwr.proto.node_pb2 import Node
from flwr.supercore.protobuf.client import ProtobufClient
from flwr.supercore.runtime.runtime_http_client import RuntimeHttpClient
from flwr.supernode.fleet_http_client import FleetHttpClient
from google.protobuf.message import DecodeError

from shared.object_transfer import Pulled, Pushing, pull


@pytest.mark.parametrize("content", [b"", b"object", bytes(100_000)])
def test_what_is_handed_in_is_flowers_request(content: bytes) -> None:
    """Whoever parses it with protobuf finds every field."""
    request = PushObjectRequest(node=Node(node_id=3), run_id=2, object_id="a", session_id="s")
    sent = Pushing(request, memoryview(content)).SerializeToString(deterministic=True)
    request.object_content = content
    assert PushObjectRequest.FromString(sent) == request


@pytest.mark.parametrize("content", [b"", b"object", bytes(100_000)])
@pytest.mark.parametrize("found", [False, True])
@pytest.mark.parametrize("there", [False, True])
def test_what_comes_is_flowers_answer(content: bytes, found: bool, there: bool) -> None:
    """Every field."""
    answer = PullObjectResponse(
        object_found=found, object_available=there, object_content=content
    ).SerializeToString()
    pulled = Pulled()
    pulled.ParseFromString(answer)
    assert (pulled.object_found, pulled.object_available) == (found, there)
    assert pulled.object_content == content


@pytest.mark.parametrize("answer", [b"\xff", b"\x1a\x7f", b"\x08"])
def test_what_is_no_answer_is_refused_as_protobuf_refuses_it(answer: bytes) -> None:
    """By the error that callers of protobuf know."""
    with pytest.raises(DecodeError):
        Pulled().ParseFromString(answer)


@pytest.mark.parametrize(
    ("kind", "interface"), [(FleetHttpClient, "Fleet"), (RuntimeHttpClient, "Runtime")]
)
def test_an_object_is_asked_for_as_flower_asks(kind: type[Any], interface: str) -> None:
    """Path, method and request; only what reads the answer is another."""
    asked: list[dict[str, Any]] = []

    class Noted(kind):  # type: ignore[misc] # Flower's client of either interface
        def __init__(self) -> None:
            ProtobufClient.__init__(self, "http://nowhere")

        def _unary_unary(self, **arguments: Any) -> Any:
            asked.append(arguments)
            return arguments["response_type"]()

    client, request = Noted(), PullObjectRequest(object_id="a")
    assert isinstance(pull(client, interface, request), Pulled)
    client.PullObject(request)
    client.close()
    ours, flowers = asked
    assert ours | {"response_type": PullObjectResponse} == flowers
