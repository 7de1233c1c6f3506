"""What guard and worker say to each other, as client/worker.proto has it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.worker_pb2 import Alive, Hello, Numbers, RowsRequest, TrainRequest

SERVICE = "murmura.worker.Worker"
METHODS: dict[str, tuple[Any, Any]] = {
    "Train": (TrainRequest, Numbers),
    "Rows": (RowsRequest, Numbers),
    "Greet": (Hello, Alive),
}


def limits(largest: int) -> list[tuple[str, int]]:
    """Options of both ends: bytes of one request or answer; how soon a new worker is found."""
    return [
        ("grpc.max_receive_message_length", largest),
        ("grpc.max_send_message_length", largest),
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 200),
        ("grpc.enable_http_proxy", 0),
    ]


def numbers(array: NDArray[Any]) -> Numbers:
    """A vector or rows, as they go to the guard."""
    wide = array.dtype == np.float64
    values = array.astype("<f8" if wide else "<f4", copy=False).tobytes()
    return Numbers(values=values, wide=wide, width=array.shape[1] if array.ndim == 2 else 0)


def array(answer: Numbers) -> NDArray[Any]:
    """The inverse of `numbers`. Raises ValueError on what `numbers` does not make.

    >>> array(numbers(np.zeros((2, 3)))).shape
    (2, 3)
    """
    flat = np.frombuffer(answer.values, dtype="<f8" if answer.wide else "<f4")
    return flat.reshape(-1, answer.width) if answer.width else flat
