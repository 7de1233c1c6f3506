"""Flower's objects on their way, in Flower's form and without Flower's copies.

To whoever sends and receives, both are messages of protobuf: one is serialised, the other parsed.

Source: Flower 1.41, `flwr.supercore.protobuf.client.ProtobufClient._unary_unary`, which calls
nothing else of a message; tests/shared/test_object_transfer.py holds the contract.
"""

from typing import Any

from flwr.proto.message_pb2 import PullObjectRequest, PullObjectResponse, PushObjectRequest
from flwr.supercore.protobuf.client import ProtobufClient
from google.protobuf.message import DecodeError

from shared.errors import MessageError
from shared.large_field import apart, joined

PUSHED = PushObjectRequest.DESCRIPTOR.fields_by_name["object_content"].number
PULLED = PullObjectResponse.DESCRIPTOR.fields_by_name["object_content"].number


class Pushing:
    """A request that hands in an object.

    Args:
        request: Without the content.
        content: Of the object.
    """

    def __init__(self, request: PushObjectRequest, content: bytes | memoryview) -> None:
        self._request, self._content = request, content

    def SerializeToString(self, **form: Any) -> bytes:  # noqa: N802 - protobuf's name
        """What the whole request is on the wire."""
        return joined(self._request.SerializeToString(**form), PUSHED, self._content)


class Pulled:
    """The answer that brings an object.

    Attributes:
        object_found: Whether somebody announced it.
        object_available: Whether it is there.
        object_content: The object; empty where it is not.
    """

    def __init__(self) -> None:
        self.object_found = self.object_available = False
        self.object_content = b""

    def ParseFromString(self, answer: bytes) -> None:  # noqa: N802 - protobuf's name
        """Take it out of the whole answer. Raises protobuf's DecodeError."""
        try:
            rest, content = apart(answer, PULLED)
        except MessageError as error:
            raise DecodeError(str(error)) from error
        said = PullObjectResponse.FromString(rest)
        self.object_found, self.object_available = said.object_found, said.object_available
        self.object_content = bytes(content)


def pull(client: ProtobufClient, interface: str, request: PullObjectRequest) -> Pulled:
    """As `client.PullObject(request)`.

    Args:
        client: Flower's.
        interface: Of Flower's that it asks, "Fleet" or "Runtime".
        request: Which object.
    """
    kind: Any = Pulled
    answer: Pulled = client._unary_unary(  # noqa: SLF001 - the type of the answer is chosen here
        path=f"/v1/{interface.lower()}/pull-object",
        rpc_method=f"/flwr.proto.{interface}/PullObject",
        request=request,
        response_type=kind,
    )
    return answer
