"""What is used of Flower's private modules is there, in the form that is used (flwr is pinned)."""

import inspect
import ssl

import httpx
import pytest
from flwr.common.constant import HEARTBEAT_DEFAULT_INTERVAL, SUPERLINK_NODE_ID
from flwr.supercore.error import ApiErrorCode, FlowerError
from flwr.supercore.inflatable import inflatable_object, inflatable_utils
from flwr.supercore.protobuf.client import ProtobufClient
from flwr.supercore.runtime_version_compatibility import RuntimeVersionMetadata
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

CALLS = (
    "ActivateNode", "DeactivateNode", "SendNodeHeartbeat", "PullMessages", "PushMessages", "GetRun",
    "GetFab", "PullObject", "PushObject", "ConfirmMessageReceived",
)  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_the_client_has_every_call(name: str) -> None:
    """Each takes one request."""
    assert list(inspect.signature(getattr(FleetHttpClient, name)).parameters) == ["self", "request"]


def test_the_client_takes_our_connection() -> None:
    """An SSL context, interceptors; and keeps its httpx client where we replace it."""
    parameters = inspect.signature(ProtobufClient.__init__).parameters
    assert {"base_url", "interceptors", "verify"} <= set(parameters)
    client = FleetHttpClient("https://127.0.0.1:1", verify=ssl.create_default_context())
    assert isinstance(client._client, httpx.Client)
    client.close()


def test_the_interceptors_have_the_form_of_ours() -> None:
    """`intercept(context, call_next)`."""
    parameters = list(inspect.signature(NodeAuthHttpInterceptor.intercept).parameters)
    assert parameters == ["self", "context", "call_next"]
    told = RuntimeVersionMetadata.from_local_component("SuperNode").as_metadata()
    assert all(len(pair) == 2 for pair in told)


def test_messages_are_trees_of_objects_named_by_their_hash() -> None:
    """And the functions that take them apart are there."""
    for name in (
        "get_all_nested_objects",
        "get_object_tree",
        "iterate_object_tree",
        "no_object_id_recompute",
    ):
        assert callable(getattr(inflatable_object, name))
    assert inflatable_object.get_object_id(b"x") == __import__("hashlib").sha256(b"x").hexdigest()
    assert callable(inflatable_utils.inflate_object_from_contents)


def test_the_codes_and_constants_are_there() -> None:
    """Of errors, and of the server's own number."""
    assert {
        ApiErrorCode.FLEET_RUN_STATUS_NOT_ALLOWED,
        ApiErrorCode.FLEET_GET_RUN_FAILED,
        ApiErrorCode.FLEET_GET_FAB_FAILED,
    }
    assert FlowerError.from_json('{"code": 1, "detail": "x"}') is not None
    assert FlowerError.from_json("no JSON") is None
    assert (SUPERLINK_NODE_ID, HEARTBEAT_DEFAULT_INTERVAL) == (1, 30)
