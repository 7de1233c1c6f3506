"""What a trainer and the processes of its devices say to each other: some JSON, then tensors.

Over a pair of sockets that nobody else holds; nothing is pickled.
"""

import json
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

_TENSORS = "tensors"
_TYPES = {
    str(kind): kind
    for kind in (
        torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool, torch.uint8,
        torch.int8, torch.int16, torch.int32, torch.int64,
    )
}  # fmt: skip
Said = Mapping[str, Any]


def send(connection: Connection, said: Said, tensors: Sequence[Tensor] = ()) -> None:
    """Tell the other end. Raises OSError where it is gone."""
    shapes = [[str(tensor.dtype), list(tensor.shape)] for tensor in tensors]
    connection.send_bytes(json.dumps({**said, _TENSORS: shapes}).encode())
    for tensor in tensors:
        if tensor.numel():
            connection.send_bytes(_bytes_of(tensor.detach().cpu().contiguous()))


def receive(connection: Connection) -> tuple[dict[str, Any], list[Tensor]]:
    """What the other end tells, its tensors on the CPU. Raises OSError or EOFError likewise."""
    said: dict[str, Any] = json.loads(connection.recv_bytes())
    tensors = [torch.empty(shape, dtype=_TYPES[kind]) for kind, shape in said.pop(_TENSORS)]
    for tensor in tensors:
        if tensor.numel():
            connection.recv_bytes_into(_bytes_of(tensor))
    return said, tensors


def _bytes_of(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor on the CPU, not a copy."""
    return tensor.view(-1).view(torch.uint8).numpy().data
