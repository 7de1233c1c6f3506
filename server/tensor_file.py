"""Files of safetensors, part after part, without a copy of what goes into them.

The library's own functions hold a model several times before the first byte is written, and write
metadata in an order that changes from process to process.

Source: the format as huggingface/safetensors describes it: the header's length (8 bytes, little
endian), the header (JSON, padded with spaces), the tensors.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from server.at_rest import AtRest

Vector = NDArray[Any] | AtRest
KINDS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U8": "|u1", "BOOL": "|b1", "U16": "<u2", "U32": "<u4", "U64": "<u8", "C64": "<c8",
}  # fmt: skip
_NAMES = {form: name for name, form in KINDS.items()}
_BEYOND_NUMPY = {
    torch.bfloat16: ("BF16", torch.int16), torch.float8_e4m3fn: ("F8_E4M3", torch.int8),
    torch.float8_e5m2: ("F8_E5M2", torch.int8),
}  # fmt: skip
_ALIGNED = 8


def parts(
    tensors: Mapping[str, Vector | torch.Tensor], metadata: Mapping[str, str] | None = None
) -> Iterator[bytes | memoryview]:
    """The file's parts in order; a function of the tensors, by name, and of the metadata.

    Args:
        tensors: On the CPU, of a kind that the format has. They are read when it is their turn.
        metadata: In the order in which it is to be written.

    Raises:
        KeyError: a tensor is of another kind.
    """
    found = {name: _described(tensor) for name, tensor in tensors.items()}
    # The widest first, so that each lies at a multiple of its width.
    names = sorted(found, key=lambda name: (-found[name][1].dtype.itemsize, name))
    header, end = dict[str, Any](), 0
    if metadata is not None:
        header["__metadata__"] = dict(metadata)
    for name in names:
        kind, vector = found[name]
        start, end = end, end + math.prod(vector.shape) * vector.dtype.itemsize
        header[name] = {"dtype": kind, "shape": vector.shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNED)
    yield len(text).to_bytes(8, "little")
    yield text
    for name in names:
        vector = found[name][1]
        if isinstance(vector, AtRest):
            yield from vector.blocks()
        else:
            yield np.ascontiguousarray(vector).reshape(-1).view(np.uint8).data


def _described(tensor: Vector | torch.Tensor) -> tuple[str, Vector]:
    """The name of its kind in the file, and its numbers."""
    if not isinstance(tensor, torch.Tensor):
        return _NAMES[tensor.dtype.str], tensor
    plain = tensor.detach()
    if plain.dtype in _BEYOND_NUMPY:
        kind, as_wide = _BEYOND_NUMPY[plain.dtype]
        return kind, plain.view(as_wide).numpy()
    numbers = plain.numpy()
    return _NAMES[numbers.dtype.str], numbers
