"""A reply is bounded before it is put together; what is wrong with it is its node's alone."""

import gc
import json
import tracemalloc
import weakref

import httpx
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    InflatableObject,
    add_header_to_object_body,
    get_all_nested_objects,
    get_object_tree,
)
from flwr.superlink.grid import HttpGrid
from hypothesis import given, settings
from hypothesis import strategies as st

from server.bounded_grid import BoundedGrid, bounded
from server.exchange import exchange
from server.sizes import AROUND, size_of, vector_bytes
from tests.server.fake_grid import FIRST_NODE, FakeGrid, silent
from tests.server.stub_superlink import StubGrid, StubSuperLink, too_large


def question(name: str = "m0") -> Message:
    """A message to node 50 that the SuperLink calls `name`."""
    message = Message(RecordDict(), dst_node_id=FIRST_NODE, message_type="train", group_id="1")
    message.metadata.__dict__["_message_id"] = name
    return message


def answer(values: int = 10, name: str = "m0") -> Message:
    """An honest reply with so many numbers."""
    content = RecordDict({
        "header": ConfigRecord({"values": values}),
        "vectors": ArrayRecord({"update": Array(np.arange(values, dtype=np.float32))}),
    })  # fmt: skip
    return Message(content, reply_to=question(name))


@pytest.fixture
def superlink() -> StubSuperLink:
    """Without replies."""
    return StubSuperLink()


def pulled(superlink: StubSuperLink, most_bytes: int = vector_bytes(10)) -> list[Message]:
    """All that has come to the questions m0 and m1."""
    grid = BoundedGrid(StubGrid(superlink))
    grid.most_bytes = most_bytes
    return list(grid.pull_messages(["m0", "m1"]))


def test_an_honest_reply_arrives_as_it_was_sent(superlink: StubSuperLink) -> None:
    """Content and metadata; it is confirmed, and nobody hands it over twice."""
    sent = answer()
    name = superlink.hold(sent)
    (found,) = pulled(superlink)
    assert size_of(found.content) == size_of(sent.content)
    assert found.content["vectors"] == sent.content["vectors"]
    assert found.metadata.reply_to_message_id == "m0"
    assert superlink.confirmed == [name]
    assert pulled(superlink) == []


def test_a_long_vector_comes_in_chunks(superlink: StubSuperLink) -> None:
    """Equal chunks are stored and pulled once."""
    content = RecordDict({"v": ArrayRecord({"update": Array(np.zeros(3_000_000, np.float32))})})
    superlink.hold(Message(content, reply_to=question()))
    (found,) = pulled(superlink, vector_bytes(3_000_000))
    assert len(found.content.array_records["v"]["update"].data) == 12_000_128
    assert len(superlink.pulled) == len(set(superlink.pulled))


def test_after_a_large_reply_memory_is_given_back(
    superlink: StubSuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of its parts, before the next is pulled; after a small one it is not worth it."""
    given: list[int] = []
    monkeypatch.setattr("server.bounded_grid.let_go", lambda: given.append(1))
    superlink.hold(answer())
    assert len(pulled(superlink)) == 1
    assert given == []
    monkeypatch.setattr("server.bounded_grid._LARGE", 1)
    superlink.hold(answer())
    assert len(pulled(superlink)) == 1
    assert given == [1]


def test_of_a_reply_that_was_read_nothing_stays(
    superlink: StubSuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flower's record refers to itself: it is gone all the same before the next is pulled."""
    monkeypatch.setattr("server.bounded_grid._LARGE", 1)
    superlink.hold(answer())
    superlink.hold(answer(9, "m1"))
    grid = BoundedGrid(StubGrid(superlink))
    grid.most_bytes = vector_bytes(10)
    seen: list[weakref.ref[RecordDict]] = []
    gc.disable()
    try:
        for reply in grid.pull_messages(["m0", "m1"]):
            assert [found() for found in seen] == [None] * len(seen)
            seen.append(weakref.ref(reply.content))
            del reply
    finally:
        gc.enable()
    assert len(seen) == 2


def test_what_was_pushed_is_let_go_before_replies_are_asked_for(
    superlink: StubSuperLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, where it was large."""
    let: list[int] = []
    monkeypatch.setattr("server.bounded_grid.let_go", lambda: let.append(1))
    grid = BoundedGrid(StubGrid(superlink))
    grid.push_messages([question()])
    assert list(grid.pull_messages(["m0"])) == []
    assert let == []
    monkeypatch.setattr("server.bounded_grid._LARGE", 1)
    grid.push_messages([question()])
    for _ in range(2):
        assert list(grid.pull_messages(["m0"])) == []
    assert let == [1]


def test_an_error_reply_stays_one(superlink: StubSuperLink) -> None:
    """With its code and reason."""
    superlink.hold(Message(Error(code=5, reason="gone"), reply_to=question()))
    (found,) = pulled(superlink)
    assert (found.error.code, found.error.reason) == (5, "gone")


def test_a_reply_that_has_not_all_come_is_taken_later_and_holds_nobody_up(
    superlink: StubSuperLink,
) -> None:
    """Flower's own grid waits for its objects for up to two hours."""
    superlink.hold(answer())
    late = list(superlink.objects)
    superlink.late = set(late[:1])
    superlink.hold(answer(9, "m1"))
    grid = BoundedGrid(StubGrid(superlink))
    assert [m.metadata.reply_to_message_id for m in grid.pull_messages(["m0", "m1"])] == ["m1"]
    assert list(grid.pull_messages(["m0"])) == []
    superlink.late = set()
    assert [m.metadata.reply_to_message_id for m in grid.pull_messages(["m0"])] == ["m0"]


def test_of_a_reply_that_nobody_waits_for_nothing_is_kept(superlink: StubSuperLink) -> None:
    """An exchange that is over, or another one meanwhile; asked for again it is pulled again."""
    superlink.hold(answer())
    first = next(iter(superlink.objects))
    superlink.late = {first}
    grid = BoundedGrid(StubGrid(superlink))
    assert list(grid.pull_messages(["m0"])) == []
    (arriving,) = grid._arriving.values()
    assert arriving.size > 0
    assert list(grid.pull_messages(["m1"])) == []
    assert (arriving.size, arriving.contents) == (0, {})
    superlink.late = set()
    assert [m.metadata.reply_to_message_id for m in grid.pull_messages(["m0"])] == ["m0"]


def test_a_reply_of_which_objects_are_lost_is_an_error(superlink: StubSuperLink) -> None:
    """Its upload was broken off."""
    superlink.hold(answer())
    superlink.objects.pop(next(iter(superlink.objects)))
    (found,) = pulled(superlink)
    assert "all objects" in str(found.error.reason)


@pytest.mark.parametrize("values", [100_000, 10**7])
def test_a_reply_that_is_too_large_is_pulled_no_further(
    superlink: StubSuperLink, values: int
) -> None:
    """It stops at the bytes an honest one has; the honest one after it arrives."""
    superlink.hold(answer(values))
    superlink.hold(answer(9, "m1"))
    found = {m.metadata.reply_to_message_id: m for m in pulled(superlink)}
    assert "expected a reply of at most" in str(found["m0"].error.reason)
    assert found["m1"].has_content()


def replaced(superlink: StubSuperLink, kind: type[InflatableObject], change: object) -> Message:
    """An honest reply of which the object of one kind says something else."""
    sent = answer()
    superlink.hold(sent)
    for name, part in get_all_nested_objects(sent).items():
        if isinstance(part, kind):
            body = json.loads(superlink.objects[name].split(b"\x00", 1)[1])
            body = change(body) if callable(change) else change
            superlink.objects[name] = add_header_to_object_body(json.dumps(body).encode(), part)
    return sent


def test_a_chunk_that_is_named_a_million_times_is_counted_before_it_is_put_together(
    superlink: StubSuperLink,
) -> None:
    """184 bytes would become 184 MB; Flower's own grid would make them."""
    replaced(superlink, Array, lambda body: body | {"arraychunk_ids": [0] * 10**6})
    superlink.hold(answer(9, "m1"))
    tracemalloc.start()
    try:
        found = pulled(superlink, vector_bytes(4 * 10**6))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    errors = [m.error.reason for m in found if m.has_error()]
    assert errors == [f"expected a reply of at most {16 * 10**6 + 2 * AROUND} bytes, got 184000000"]
    assert len(found) == 2
    assert peak < 40_000_000


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body | {"arraychunk_ids": [5]},
        lambda body: body | {"arraychunk_ids": "x"},
        lambda body: body | {"arraychunk_ids": None},
        lambda body: body | {"shape": "x"},
        lambda body: {"dtype": body["dtype"]},
        [],
        5,
    ],
)
def test_an_array_that_cannot_be_read_is_its_nodes_error(
    superlink: StubSuperLink, change: object
) -> None:
    """Flower's own grid raises, and the run ends for all."""
    replaced(superlink, Array, change)
    superlink.hold(answer(9, "m1"))
    found = {m.metadata.reply_to_message_id: m for m in pulled(superlink)}
    assert found["m0"].has_error()
    assert found["m1"].has_content()
    replaced(superlink, Array, change)
    with pytest.raises((ValueError, TypeError, LookupError, AttributeError)):
        StubGrid(superlink).pull_messages(["m0"])


def test_nested_json_is_refused(superlink: StubSuperLink) -> None:
    """As deep as it may be."""
    sent = answer()
    superlink.hold(sent)
    for name, part in get_all_nested_objects(sent).items():
        if isinstance(part, Array | RecordDict):
            superlink.objects[name] = add_header_to_object_body(b"[" * 12_000, part)
    (found,) = pulled(superlink)
    assert "other objects" in str(found.error.reason)


def test_who_answers_is_what_the_superlink_checked(superlink: StubSuperLink) -> None:
    """A reply whose own words name another question answers its sender's question all the same."""
    sent = answer(10, "m0")
    superlink.hold(sent)
    claimed = answer(10, "m1")
    claimed.metadata.__dict__["_message_id"] = sent.metadata.message_id
    nested = get_all_nested_objects(claimed)
    superlink.objects |= {key: part.deflate() for key, part in nested.items()}
    superlink.objects[sent.metadata.message_id] = claimed.deflate()
    (found,) = pulled(superlink)
    assert found.metadata.reply_to_message_id == "m0"


def test_an_object_that_is_no_message_is_refused(superlink: StubSuperLink) -> None:
    """A record under a message's name."""
    sent = answer()
    name = superlink.hold(sent)
    superlink.objects[name] = ConfigRecord({"a": 1}).deflate()
    (found,) = pulled(superlink)
    assert "expected a message" in str(found.error.reason)


def test_a_tree_of_very_many_objects_is_not_pulled(superlink: StubSuperLink) -> None:
    """Not one of them."""
    sent = answer()
    sent.metadata.__dict__["_message_id"] = sent.object_id
    leaves = [ObjectTree(object_id=f"{number:064x}") for number in range(10_000)]
    superlink.announce(sent, ObjectTree(object_id=sent.object_id, children=leaves))
    (found,) = pulled(superlink)
    assert "objects and chunks" in str(found.error.reason)
    assert superlink.pulled == []


@pytest.mark.no_cover
@settings(max_examples=1000)
@given(st.data())
def test_whatever_objects_hold_the_honest_reply_arrives(data: st.DataObject) -> None:
    """Any object of a reply with bytes changed, cut or put in: never another exception."""
    superlink = StubSuperLink()
    superlink.hold(answer())
    # Objects by their kind: their names depend on the clock.
    name = data.draw(st.sampled_from(range(6)).map(list(superlink.objects).__getitem__))
    superlink.hold(answer(7, "m1"))
    content = superlink.objects[name]
    place = data.draw(st.integers(0, 300)) % (len(content) + 1)
    length = data.draw(st.integers(0, 40))
    change = data.draw(st.one_of(st.binary(max_size=40), st.just(b'{"a":' * 200)))
    superlink.objects[name] = content[:place] + change + content[place + length :]
    found = {m.metadata.reply_to_message_id: m for m in pulled(superlink)}
    assert found.keys() == {"m0", "m1"}
    assert found["m1"].has_content()


def test_a_request_that_fails_is_not_swallowed(superlink: StubSuperLink) -> None:
    """But for a response that was too large: then there is nothing this time."""
    superlink.hold(answer())
    superlink.failure = too_large()
    assert pulled(superlink) == []
    request = httpx.Request("POST", "http://superlink")
    response = httpx.Response(500, request=request)
    superlink.failure = httpx.HTTPStatusError("broken", request=request, response=response)
    with pytest.raises(httpx.HTTPStatusError):
        pulled(superlink)


def test_an_exchange_says_how_large_replies_may_be(superlink: StubSuperLink) -> None:
    """And everything else is Flower's."""
    superlink.hold(answer(50_000))
    inner = StubGrid(superlink)
    grid = bounded(inner)
    assert isinstance(grid, BoundedGrid)
    ((_, found),) = exchange(grid, [question()], 5.0, most_bytes=AROUND)
    assert found.has_error()
    superlink.hold(answer(50_000, "m1"))
    superlink.asked.clear()
    messages = [question("m0"), question("m1")]
    ((place, found),) = exchange(grid, messages, 0.0, most_bytes=vector_bytes(50_000))
    assert (place, found.has_content()) == (1, True)
    assert [m.metadata.message_id for m in superlink.asked] == [m.object_id for m in messages]
    assert list(grid.get_node_ids()) == [4, 5]
    assert grid.run.run_id == 7
    grid.set_run(grid.run)
    made = grid.create_message(RecordDict(), "train", 4, "1")
    assert made.metadata.dst_node_id == 4
    with pytest.raises(NotImplementedError):
        grid.send_and_receive([])


def test_any_other_grid_is_left_as_it_is() -> None:
    """Nothing is put together in there."""
    grid = FakeGrid(1, silent)
    assert bounded(grid) is grid


def test_flowers_grid_has_the_parts_that_are_used() -> None:
    """The contract with the pinned version; the way over sockets is tests/integration's."""
    grid = HttpGrid(token="none")  # noqa: S106 - nobody asks for it
    assert grid.node.node_id == 1
    assert isinstance(vars(HttpGrid)["_runtime_client"], property)
    bounded(grid)
    assert grid._runtime_client._client.timeout.read == 300.0
    assert get_object_tree(answer()).object_id
