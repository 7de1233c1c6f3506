"""The app's edge: right replies, and no secrets in what Flower tells the server of an error."""

import logging
import traceback

import pytest
from flwr.app import Context, Message, RecordDict

from client.app import app
from shared.config import Scalar
from shared.errors import (
    ConfigurationError,
    DataError,
    FederationError,
    MessageError,
    PrivacyError,
    ProtocolError,
)
from shared.messages import Enrolled, TrainReply, enrol_request
from simulations.grid import InProcessGrid
from tests.client.test_session import RAW, instruction, node

PRIVATE = "patient 4711"


def ask(kind: str, content: RecordDict, node_config: dict[str, Scalar] | None = None) -> Message:
    """What the ClientApp answers to one message."""
    grid = InProcessGrid(app, 3, RAW)
    message = grid.create_message(content, kind, dst_node_id=1001, group_id="1")
    context = Context(
        1, 1001, dict(node(1).config) if node_config is None else node_config, RecordDict(), RAW
    )
    return app(message, context)


def test_a_node_enrols_by_its_name() -> None:
    """query.enrol -> Enrolled."""
    reply = ask("query.enrol", enrol_request())
    assert Enrolled.from_record(reply.content).client_id == "site-000001"


def test_a_train_instruction_is_answered_by_an_update_and_nothing_else() -> None:
    """train -> TrainReply; no size, loss or metric travels beside it."""
    asked = instruction()
    content = ask("train", asked.to_record()).content
    reply = TrainReply.from_record(content)
    assert reply.update.shape == asked.parameters.shape
    assert set(content) == set(reply.to_record())
    assert dict(content.config_records["murmura"]) == dict(
        reply.to_record().config_records["murmura"]
    )
    assert list(content.array_records["murmura.vectors"]) == ["update", "packed", "masked"]
    assert (reply.packed, reply.masked) == (b"", b"")


@pytest.mark.parametrize("kind", ["train", "query.enrol"])
@pytest.mark.parametrize(
    "error", [ValueError(PRIVATE), KeyError(PRIVATE), DataError(PRIVATE), RuntimeError(PRIVATE)]
)
def test_an_errors_text_stays_on_the_node(
    kind: str,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server is told the class; the node's own log holds the rest, with the traceback."""

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("client.session.this_site", fails)
    content = instruction().to_record() if kind == "train" else enrol_request()
    with (
        caplog.at_level(logging.ERROR, "murmura.client"),
        pytest.raises(FederationError) as caught,
    ):
        ask(kind, content)
    assert type(caught.value) is FederationError
    assert str(caught.value) == f"client failed ({type(error).__name__}); its own log says more"
    assert PRIVATE not in "".join(traceback.format_exception(caught.value))
    assert PRIVATE in caplog.text


@pytest.mark.parametrize("kind", [ConfigurationError, PrivacyError, ProtocolError, MessageError])
def test_errors_that_hold_no_secret_are_told_as_they_are(
    kind: type[FederationError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the server's operator can mend what is wrong."""

    def fails(*_: object) -> None:
        raise kind("expected this, got that")

    monkeypatch.setattr("client.session.this_site", fails)
    with pytest.raises(kind, match="expected this, got that"):
        ask("query.enrol", enrol_request())


def test_a_message_of_another_protocol_is_refused() -> None:
    """An empty record is no instruction."""
    with pytest.raises(MessageError, match="expected a record 'murmura'"):
        ask("train", RecordDict())


def test_a_node_that_forbids_seeded_runs_says_so() -> None:
    """The refusal reaches the server as it is."""
    strict: dict[str, Scalar] = {"partition-id": 1, "num-partitions": 3}
    with pytest.raises(PrivacyError, match="allow-seeded-runs"):
        ask("train", instruction().to_record(), strict)
