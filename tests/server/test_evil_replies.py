"""Whatever a client sends: it alone is left out, by a typed error, and memory does not grow."""

import copy
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message, RecordDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.aggregation import RoundSum
from server.enrolment import Enrolment
from server.exchange import exchange
from server.sizes import size_of, vector_bytes
from shared.aggregation_messages import UnmaskMessage
from shared.errors import ConfigurationError, ProtocolError
from shared.messages import Enrolled, TrainInstruction, TrainReply
from shared.query_messages import QueryReply
from tests.server.evil_replies import VECTORS, Evil, array_of, described, npy, numbers, spoiling
from tests.server.fake_grid import FakeGrid, honest, vector
from tests.server.toy import config, plan

PROMISE = plan({"privacy.unit": "none", "training.steps": 1})
THOUSANDS = settings(max_examples=2000, suppress_health_check=list(HealthCheck))
FIELDS = ("protocol_version", "round_number", "attempt", "plan_digest", "ledger_head")
MOST = vector_bytes(2)


def instruction() -> TrainInstruction:
    """Round 1, of two parameters."""
    return TrainInstruction(
        round_number=1, attempt=1, plan=PROMISE.canonical(), plan_digest=PROMISE.digest(),
        clipping_norm=0.0, parameters=vector(0.0, 0.0),
    )  # fmt: skip


def reply() -> TrainReply:
    """An honest reply to it."""
    return TrainReply(
        round_number=1, attempt=1, plan_digest=PROMISE.digest(), update=vector(0.5, 0.25)
    )


def total() -> RoundSum:
    """Of the same round."""
    return RoundSum(PROMISE, 2, cohort_size=1, round_number=1, attempt=1)


def spoilt(evil: Evil, record: RecordDict) -> RecordDict | None:
    """A copy of `record` with something wrong; None where Flower itself refuses to hold it."""
    content = copy.deepcopy(record)
    with suppress(TypeError, ValueError, KeyError):
        evil(content)
        return content
    return None


def refusal(collected: RoundSum, content: RecordDict) -> str | None:
    """Why it is refused; None where it is counted."""
    try:
        collected.add(0, TrainReply.from_record(content))
    except ProtocolError as error:
        return str(error)
    return None


@THOUSANDS
@given(spoiling(FIELDS, ("update", "packed", "masked")))
def test_a_spoilt_update_is_refused_by_a_typed_error(evil: Evil) -> None:
    """Or it is what an honest client could have sent, and then it is counted as it is."""
    content = spoilt(evil, reply().to_record())
    if content is None:
        return
    collected = total()
    said = refusal(collected, content)
    if said is not None:
        assert collected.survivors == 0
        assert len(said) < 1200
        return
    found = TrainReply.from_record(content)
    assert (found.update.shape, found.packed, found.masked) == ((2,), b"", b"")
    assert np.isfinite(found.update).all()


@settings(max_examples=500)
@given(
    st.one_of(
        spoiling((*FIELDS[:4], "kind"), ("sums", "masked")).map(
            lambda evil: (evil, QueryReply(kind="evaluate", round_number=1, attempt=1,
                plan_digest="ab", sums=vector(1.0)).to_record(), QueryReply.from_record)),
        spoiling((*FIELDS[:3], "kind"), ("content",)).map(
            lambda evil: (evil, UnmaskMessage(kind="train", round_number=1, attempt=1,
                content=b"x").to_record(), UnmaskMessage.from_record)),
        spoiling(("protocol_version", "client_id"), ("announcement",)).map(
            lambda evil: (evil, Enrolled(client_id="a").to_record(), Enrolled.from_record)),
    )
)  # fmt: skip
def test_no_other_message_is_decoded_with_another_error(
    case: tuple[Evil, RecordDict, Callable[[RecordDict], object]],
) -> None:
    """Answers of queries and committees, and enrolments."""
    evil, record, decode = case
    content = spoilt(evil, record)
    if content is not None:
        with suppress(ProtocolError):
            decode(content)


@pytest.mark.no_cover
@THOUSANDS
@given(spoiling(FIELDS, ("update", "packed", "masked")))
def test_the_honest_round_finishes(evil: Evil) -> None:
    """One of three is spoilt; the other two are summed, whatever it sent."""

    def answer(client: int, message: Message) -> list[Message]:
        (good,) = honest(client, message)
        content = spoilt(evil, good.content) if client == 1 else good.content
        return [] if content is None else [Message(content, reply_to=message)]

    grid = FakeGrid(3, answer, at_once=3)
    messages = [
        Message(instruction().to_record(), dst_node_id=node, message_type="train")
        for node in grid.get_node_ids()
    ]
    collected = RoundSum(PROMISE, 2, cohort_size=3, round_number=1, attempt=1)
    for position, found in exchange(grid, messages, 0.0, most_bytes=MOST):
        with suppress(ProtocolError):
            if not found.has_error():
                collected.add(position, TrainReply.from_record(found.content))
    assert collected.survivors >= 2


HUGE = 10**7
BOMBS = {
    "a shape of 4 TiB": described("<f4", "(1099511627776,)", bytes(8)),
    "a longer shape than bytes": described("<f4", "(10000000,)", bytes(8)),
    "an object array": described("|O", "(2,)", b"\x80\x04K\x01."),
    "a zip archive": b"PK\x03\x04" + bytes(100),
    "a header of 60,000 brackets": npy("(" * 60_000),
    "a header of 60,000 signs": npy("-" * 60_000 + "1"),
    "ten million bytes for two numbers": described("<f4", "(2,)", bytes(HUGE)),
    "ten million numbers": described("<f4", f"({HUGE // 4},)", bytes(HUGE)),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_what_is_announced_is_not_allocated(bomb: str) -> None:
    """Refused without as much memory as one page of what came, and nothing stays."""
    record = reply().to_record()
    record.array_records[VECTORS]["update"] = array_of(BOMBS[bomb])
    collected = total()
    with suppress(ProtocolError):
        collected.add(0, TrainReply.from_record(record))  # everything imported, caches filled
    tracemalloc.start()
    try:
        for _ in range(20):
            with pytest.raises(ProtocolError):
                collected.add(0, TrainReply.from_record(record))
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 500_000
    assert kept < 100_000


@pytest.mark.parametrize(
    "values", [(np.nan, 0.0), (np.inf, 0.0), (0.0, -np.inf), (1.0,), (1.0, 2.0, 3.0), ()]
)
def test_an_update_that_is_not_finite_or_of_another_length_is_refused(
    values: tuple[float, ...],
) -> None:
    """Honest bytes of dishonest numbers."""
    record = reply().to_record()
    record.array_records[VECTORS]["update"] = array_of(numbers(*values))
    with pytest.raises(ProtocolError):
        total().add(0, TrainReply.from_record(record))


def test_the_smallest_numbers_and_negative_zero_are_honest() -> None:
    """They are numbers like others; no client is lost for them."""
    record = reply().to_record()
    record.array_records[VECTORS]["update"] = array_of(numbers(1e-45, -0.0))
    collected = total()
    collected.add(0, TrainReply.from_record(record))
    assert collected.survivors == 1


def test_bytes_under_masks_are_refused_where_updates_are_in_clear() -> None:
    """Nobody would read them: what is not accounted for is not taken."""
    content = reply().to_record()
    masked = TrainReply.from_record(content)
    object.__setattr__(masked, "masked", b"x")
    with pytest.raises(ProtocolError, match="in clear alone"):
        total().add(0, masked)


@pytest.mark.parametrize("size", [10, 10**6])
def test_the_size_of_a_record_counts_all_that_it_holds(size: int) -> None:
    """Arrays, texts, bytes, lists and names; what is over an honest one's is seen."""
    before = size_of(reply().to_record())
    assert before < MOST
    spoils: list[Callable[[RecordDict], object]] = [
        lambda r: r.config_records["murmura"].__setitem__("a", "x" * size),
        lambda r: r.config_records["murmura"].__setitem__("a", b"x" * size),
        lambda r: r.config_records["murmura"].__setitem__("a", ["x" * size]),
        lambda r: r.config_records["murmura"].__setitem__("a", [1.0] * size),
        lambda r: r.config_records["murmura"].__setitem__("x" * size, 1),
        lambda r: r.array_records[VECTORS].__setitem__("a", array_of(bytes(size))),
    ]
    for spoil in spoils:
        record = reply().to_record()
        spoil(record)
        assert size_of(record) >= before + size


def test_a_spoilt_enrolment_leaves_its_node_out(tmp_path: Path) -> None:
    """A name with an escape sequence, or of a megabyte, is no name."""
    for name in ("a\x1b[2J", "x" * 10**6, ""):
        grid = FakeGrid(
            3,
            honest,
            enrolment=lambda client, message, name=name: [  # type: ignore[misc]
                Message(
                    Enrolled(client_id=name if client == 1 else f"site-{client}").to_record(),
                    reply_to=message,
                )
            ],
        )
        with pytest.raises(ConfigurationError, match=r"got 2; without node \d+: .+client logs"):
            Enrolment(grid, config(tmp_path)).begin()


def test_an_honest_update_is_read_in_place() -> None:
    """No copy: the numbers are those that lie in the message, and cannot be changed there."""
    record = reply().to_record()
    found = TrainReply.from_record(record).update
    assert found.base is not None
    assert not found.flags.writeable
