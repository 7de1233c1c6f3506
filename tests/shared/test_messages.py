"""The wire contract: round trips, and refusal of everything else."""

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from shared.errors import MessageError
from shared.messages import (
    Enrolled,
    TrainInstruction,
    TrainReply,
    enrol_request,
)
from shared.parameters import FlatVector
from shared.query_messages import QueryInstruction, QueryReply
from shared.wire import PROTOCOL_VERSION, decode_bytes, decode_header, decode_vector, encode

VECTORS = npst.arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32))


def instruction(vector: FlatVector) -> TrainInstruction:
    """An instruction of round 3."""
    return TrainInstruction(
        round_number=3, attempt=1, plan="{}", plan_digest="ab", clipping_norm=0.5, parameters=vector
    )


def reply(vector: FlatVector) -> TrainReply:
    """A reply to it."""
    return TrainReply(round_number=3, attempt=1, plan_digest="ab", update=vector)


@given(VECTORS)
def test_vectors_arrive_bit_for_bit(vector: FlatVector) -> None:
    """NaN and infinity included: what was sent is what is judged."""
    there = TrainInstruction.from_record(instruction(vector).to_record())
    back = TrainReply.from_record(reply(vector).to_record())
    assert there.parameters.tobytes() == vector.tobytes()
    assert back.update.tobytes() == vector.tobytes()
    assert (back.round_number, back.attempt, back.plan_digest) == (3, 1, "ab")
    assert (there.round_number, there.attempt, there.plan) == (3, 1, "{}")


def test_an_enrolment_carries_a_name_who_enforces_and_nothing_else() -> None:
    """No data set size leaves a client."""
    record = Enrolled(client_id="site-000001").to_record()
    assert dict(record.config_records["murmura"]) == {
        "protocol_version": PROTOCOL_VERSION,
        "client_id": "site-000001",
        "enforced_by": "nobody",
    }
    assert Enrolled.from_record(record).client_id == "site-000001"


def test_an_enrolment_says_who_enforces_in_one_of_two_words() -> None:
    """Whatever else a site writes there is refused, and does not reach a report."""
    said = Enrolled(client_id="a", enforced_by="guard")
    assert Enrolled.from_record(said.to_record()) == said
    for other in ("verified", "", "Guard"):
        with pytest.raises(MessageError, match="enforced_by"):
            Enrolled.from_record(Enrolled(client_id="a", enforced_by=other).to_record())


def test_a_training_reply_carries_the_update_and_to_what_it_answers() -> None:
    """And where the site's ledger stands. No loss, no metric, no size; nothing masked."""
    record = reply(np.zeros(2, np.float32)).to_record()
    assert set(record) == {"murmura", "murmura.vectors"}
    assert set(record.config_records["murmura"]) == {
        "protocol_version",
        "round_number",
        "attempt",
        "plan_digest",
        "ledger_head",
        "ledger_signature",
    }
    assert set(record.array_records["murmura.vectors"]) == {"update", "packed", "masked"}


@pytest.mark.parametrize("value", [1, "0.5", -0.5, float("nan"), float("inf")])
def test_a_clipping_norm_that_is_no_bound_is_refused(value: float | str) -> None:
    """A fraction, finite, not negative."""
    record = instruction(np.zeros(1, np.float32)).to_record()
    assert TrainInstruction.from_record(record).clipping_norm == 0.5
    record.config_records["murmura"]["clipping_norm"] = value
    with pytest.raises(MessageError, match="clipping_norm"):
        TrainInstruction.from_record(record)


def test_a_vector_is_never_printed() -> None:
    """Neither `repr` shows what is secret or large."""
    vector = np.full(3, 0.123, np.float32)
    assert "0.123" not in repr(instruction(vector)) + repr(reply(vector))


@pytest.mark.parametrize("version", [None, 0, PROTOCOL_VERSION + 1, "1"])
def test_another_protocol_version_is_refused(version: int | str | None) -> None:
    """Version first, whatever else the message holds."""
    record = enrol_request()
    header = record.config_records["murmura"]
    del header["protocol_version"]
    if version is not None:
        header["protocol_version"] = version
    with pytest.raises(MessageError, match="protocol version"):
        Enrolled.from_record(record)


def test_a_message_without_a_header_is_refused() -> None:
    """An empty record is no message."""
    with pytest.raises(MessageError, match="expected a record"):
        TrainReply.from_record(RecordDict())


@pytest.mark.parametrize(
    ("field", "value"),
    [("round_number", 0), ("round_number", "3"), ("attempt", True), ("plan_digest", 5)],
)
def test_a_field_of_the_wrong_type_or_range_is_refused(field: str, value: str | int) -> None:
    """Each field is checked, and named."""
    record = reply(np.zeros(1, np.float32)).to_record()
    record.config_records["murmura"][field] = value
    with pytest.raises(MessageError, match=field):
        TrainReply.from_record(record)


@pytest.mark.parametrize(
    "array",
    [
        Array(np.zeros(3)),
        Array(np.zeros((1, 3), np.float32)),
        Array("float32", (3,), "numpy.ndarray", b"\x93NUMPY"),
        Array("float32", (3,), "torch", b""),
    ],
)
def test_a_vector_of_another_form_is_refused(array: Array) -> None:
    """Only flat float32 arrays in NumPy's format are read; a pickled one never is."""
    record = reply(np.zeros(1, np.float32)).to_record()
    empty = Array(np.zeros(0, np.uint8))
    record["murmura.vectors"] = ArrayRecord({"update": array, "packed": empty, "masked": empty})
    with pytest.raises(MessageError, match=r"'update' flat"):
        TrainReply.from_record(record)


def test_a_missing_vector_is_refused() -> None:
    """A reply without an update is an error, not a zero update."""
    record = reply(np.zeros(1, np.float32)).to_record()
    del record["murmura.vectors"]
    with pytest.raises(MessageError, match="records"):
        TrainReply.from_record(record)
    record["murmura.vectors"] = ArrayRecord({"another": Array(np.zeros(1, np.float32))})
    with pytest.raises(MessageError, match="vectors"):
        TrainReply.from_record(record)


def test_a_message_with_one_field_more_is_refused() -> None:
    """Whatever leaves a client is declared: no example count beside the update, no loss."""
    record = reply(np.zeros(1, np.float32)).to_record()
    record.config_records["murmura"]["num_examples"] = 500
    with pytest.raises(MessageError, match="num_examples"):
        TrainReply.from_record(record)
    record = reply(np.zeros(1, np.float32)).to_record()
    record["metrics"] = ConfigRecord({"loss": 0.5})
    with pytest.raises(MessageError, match="metrics"):
        TrainReply.from_record(record)
    record = reply(np.zeros(1, np.float32)).to_record()
    record.array_records["murmura.vectors"]["gradient"] = Array(np.zeros(1, np.float32))
    with pytest.raises(MessageError, match="gradient"):
        TrainReply.from_record(record)


@given(VECTORS, st.sampled_from(["evaluate", "statistics"]))
def test_a_question_and_its_answer_arrive_as_they_were_sent(vector: FlatVector, kind: str) -> None:
    """Vectors bit for bit, fields as they are, and nothing printed."""
    asked = QueryInstruction(
        kind=kind, round_number=4, attempt=2, plan="{}", plan_digest="ab",
        parameters=vector, normalisation=vector[:2],
    )  # fmt: skip
    there = QueryInstruction.from_record(asked.to_record())
    assert (there.kind, there.round_number, there.attempt) == (kind, 4, 2)
    assert there.parameters.tobytes() == vector.tobytes()
    assert there.normalisation.tobytes() == vector[:2].tobytes()
    told = QueryReply(kind=kind, round_number=4, attempt=2, plan_digest="ab", sums=vector)
    back = QueryReply.from_record(told.to_record())
    assert (back.kind, back.round_number, back.attempt, back.plan_digest) == (kind, 4, 2, "ab")
    assert back.sums.tobytes() == vector.tobytes()
    assert "sums" not in repr(told)


def test_a_vector_that_is_not_there_is_refused() -> None:
    """Whoever did not look at the header first gets no vector of another name."""
    record = instruction(np.zeros(2, dtype=np.float32)).to_record()
    with pytest.raises(MessageError, match="'update', got none"):
        decode_vector(record, "update")
    with pytest.raises(MessageError, match="'update', got none"):
        decode_vector(RecordDict(), "update")


def test_a_message_may_have_a_header_alone() -> None:
    """Then it has no record of vectors either."""
    assert decode_header(encode({"name": "a"}, {}), ("name",))["name"] == "a"
    with pytest.raises(MessageError):
        decode_header(encode({"name": "a"}, {}, contents={"more": b"x"}), ("name",))


def test_bytes_arrive_as_they_are_and_what_is_no_array_is_refused() -> None:
    """Nothing of what a peer sends is taken for numbers unread."""
    record = encode({}, {}, contents={"content": b"abc", "empty": b""})
    assert (decode_bytes(record, "content"), decode_bytes(record, "empty")) == (b"abc", b"")
    broken = Array(dtype="uint8", shape=(3,), stype="numpy.ndarray", data=b"no array")
    record["murmura.vectors"] = ArrayRecord({"content": broken})
    with pytest.raises(MessageError, match="'content' flat and uint8"):
        decode_bytes(record, "content")
