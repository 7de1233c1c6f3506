"""Flower's messages as bytes: what the server announces, and an answer that is ready to leave.

As `flower-supernode` makes and reads them; together with `client.fleet` the only file that knows
Flower's private modules. `tests/client/test_fleet_contract.py` pins what is used.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flwr.app import Message
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    UnexpectedObjectContentError,
    get_all_nested_objects,
    get_object_tree,
    iterate_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from google.protobuf.message import DecodeError

from shared.errors import MessageError
from shared.flower_arrays import Arrays, inflated_size, name_parts

_MOST_OBJECTS = 100_000
_UNREADABLE = (
    DecodeError, UnexpectedObjectContentError, ValueError, TypeError, LookupError, AttributeError,
    RecursionError, ArithmeticError, MemoryError,
)  # fmt: skip
_ID = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Received:
    """A message that the server has for this site; its content is fetched by `Fleet.content`.

    Attributes:
        message: Metadata as Flower's protobuf.
        tree: Of the ids of its objects, likewise.
    """

    message: bytes
    tree: bytes

    @property
    def metadata(self) -> Any:
        """Flower's metadata: run_id, message_id, message_type, group_id."""
        return ProtoMessage.FromString(self.message).metadata

    def bare(self) -> Message:
        """The message without its content, to be replied to. Raises MessageError."""
        try:
            bare = message_from_proto(ProtoMessage.FromString(self.message))
        except _UNREADABLE as error:
            raise MessageError("expected a message that Flower can read") from error
        if not _ID.fullmatch(bare.metadata.message_id):
            raise MessageError("expected a message whose id is a SHA-256")
        return bare

    def names(self) -> list[str]:
        """Ids of all objects. Raises MessageError unless they are of this message."""
        try:
            tree = ObjectTree.FromString(self.tree)
        except DecodeError as error:
            raise MessageError("expected the ids of a message's objects") from error
        names = list(dict.fromkeys(part.object_id for part in iterate_object_tree(tree)))
        if tree.object_id != self.metadata.message_id or len(names) > _MOST_OBJECTS:
            raise MessageError("expected the objects of the message that was announced")
        return names


@dataclass(frozen=True, slots=True)
class Letter:
    """An answer, ready to leave, byte for byte.

    Attributes:
        message: Metadata as Flower's protobuf.
        tree: Of the ids of its objects, likewise.
        objects: Their contents, by id.
    """

    message: bytes
    tree: bytes
    objects: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def of(cls, reply: Message) -> "Letter":
        """The letter that carries `reply`."""
        if reply.has_content():
            name_parts(reply.content)
        with no_object_id_recompute():
            reply.metadata.__dict__["_message_id"] = reply.object_id
            found = get_all_nested_objects(reply)
            objects = {name: part.deflate() for name, part in found.items()}
            tree = get_object_tree(reply).SerializeToString(deterministic=True)
        bare = message_to_proto(remove_content_from_message(reply))
        return cls(bare.SerializeToString(deterministic=True), tree, objects)

    @property
    def run_id(self) -> int:
        """Flower's number of the run."""
        return int(ProtoMessage.FromString(self.message).metadata.run_id)

    @property
    def holds_content(self) -> bool:
        """Whether it is an answer; else it says of an error its class."""
        return not ProtoMessage.FromString(self.message).HasField("error")

    @property
    def size(self) -> int:
        """Bytes of all contents."""
        return sum(map(len, self.objects.values()))

    @property
    def digest(self) -> str:
        """Id of the whole: SHA-256 of metadata and of the ids of all contents, hexadecimal."""
        return str(ObjectTree.FromString(self.tree).object_id)


def inflated(name: str, contents: dict[str, bytes], largest: int) -> Message:
    """The message whose object is `name`.

    Args:
        name: Id of the message.
        contents: Of all its objects, by id; those of arrays are taken out while they are read.
        largest: Bytes of all arrays; one may name a part of its many times.

    Raises:
        MessageError: `contents` do not make a message, or a larger one.
    """
    try:
        if inflated_size(contents) > largest:
            raise MessageError(f"expected a message of {largest} bytes at most")
        arrays = Arrays(contents)
        found = inflate_object_from_contents(name, contents, objects=arrays.objects)
        if isinstance(found, Message) and found.has_content():
            arrays.fill(found.content)
    except _UNREADABLE as error:
        raise MessageError("expected objects that make a message") from error
    if not isinstance(found, Message):
        raise MessageError(f"expected a message, got {type(found).__name__}")
    return found
