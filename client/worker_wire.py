"""What guard and worker say to each other, as client/worker.proto has it.

A model among it is copied once, where protobuf's own code copies it three times at each end.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.worker_pb2 import Alive, Hello, Numbers, RowsRequest, TrainRequest
from shared.large_field import apart, joined

SERVICE = "murmura.worker.Worker"
METHODS: dict[str, tuple[Any, Any]] = {
    "Train": (TrainRequest, Numbers),
    "Rows": (RowsRequest, Numbers),
    "Greet": (Hello, Alive),
}
# Of each kind the field that may be as large as a model.
_LARGE: dict[Any, str] = {TrainRequest: "parameters", RowsRequest: "parameters", Numbers: "values"}


def limits(largest: int) -> list[tuple[str, int]]:
    """Options of both ends: bytes of one request or answer; how soon a new worker is found."""
    return [
        ("grpc.max_receive_message_length", largest),
        ("grpc.max_send_message_length", largest),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 200),
        ("grpc.enable_http_proxy", 0),
    ]


class Carried:
    """A message, one field of which is where it was made or received.

    Its other fields are attributes too.

    Args:
        message: Without that field.
        content: Of the field that `_LARGE` names for its kind.
    """

    message: Any
    content: memoryview

    def __init__(self, message: Any, content: memoryview) -> None:
        self.message, self.content = message, content

    def __getattr__(self, name: str) -> Any:
        own = name == _LARGE[type(self.message)]
        return self.content if own else getattr(self.message, name)

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """What the whole message is on the wire."""
        number = _number(type(self.message))
        return joined(self.message.SerializeToString(), number, self.content)

    def holding(self, content: memoryview) -> "Carried":
        """The same message with another content."""
        return Carried(self.message, content)


def parser(kind: Any) -> Callable[[bytes], Any]:
    """What reads a message of one kind; as `Carried`, where that has a large field."""
    if kind not in _LARGE:
        whole: Callable[[bytes], Any] = kind.FromString
        return whole

    def carried(content: bytes) -> Carried:
        rest, field = apart(content, _number(kind))
        return Carried(kind.FromString(rest), field)

    return carried


def _number(kind: Any) -> int:
    return int(kind.DESCRIPTOR.fields_by_name[_LARGE[kind]].number)


def contents(vector: NDArray[Any], form: str = "<f4") -> memoryview:
    """The bytes of an array, where they are."""
    flat = np.ascontiguousarray(vector.astype(form, copy=False)).reshape(-1)
    return flat.view(np.uint8).data


def numbers(array: NDArray[Any]) -> Carried:
    """A vector or rows, as they go to the guard."""
    wide = array.dtype == np.float64
    about = Numbers(wide=wide, width=array.shape[1] if array.ndim == 2 else 0)
    return Carried(about, contents(array, "<f8" if wide else "<f4"))


def array(answer: Numbers | Carried) -> NDArray[Any]:
    """The inverse of `numbers`. Raises ValueError on what `numbers` does not make.

    >>> array(numbers(np.zeros((2, 3)))).shape
    (2, 3)
    """
    flat = np.frombuffer(answer.values, dtype="<f8" if answer.wide else "<f4")
    return flat.reshape(-1, answer.width) if answer.width else flat
