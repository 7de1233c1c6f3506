"""A file of safetensors is the library's, bit for bit, and holds nothing twice."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from server.at_rest import laid_down
from server.tensor_file import parts

_KINDS = (
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint8, torch.bool, torch.uint16, torch.complex64,
    torch.float8_e4m3fn, torch.float8_e5m2,
)  # fmt: skip


def file_of(tensors: dict[str, torch.Tensor]) -> bytes:
    """The whole of it."""
    return b"".join(parts(tensors))


@pytest.mark.parametrize("kind", _KINDS)
def test_what_is_written_the_library_reads(kind: torch.dtype) -> None:
    """Every kind and shape; also what does not lie in a row, and what has no number at all."""
    numbers = (10 * torch.rand(3, 4, generator=torch.Generator().manual_seed(1))).to(kind)
    tensors = {"b": numbers, "a": numbers.T, "one": numbers[1, 1], "none": numbers[:0]}
    found = load_tensors(file_of(tensors))
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == kind
        assert found[name].tolist() == tensor.tolist()


def test_what_it_writes_is_what_the_library_writes() -> None:
    """Numbers and their places; of several kinds the widest lie first."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2))
    tensors = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    tensors["count"], tensors["byte"] = torch.tensor(3), torch.tensor([1], dtype=torch.uint8)
    own, library = file_of(tensors), save_tensors(tensors)
    lengths = [int.from_bytes(content[:8], "little") for content in (own, library)]
    headers = [json.loads(c[8 : 8 + n]) for c, n in zip((own, library), lengths, strict=True)]
    assert headers[0] == headers[1]
    assert own[8 + lengths[0] :] == library[8 + lengths[1] :]
    assert all(length % 8 == 0 for length in lengths)


def test_metadata_is_written_in_the_order_given() -> None:
    """Before the tensors."""
    content = b"".join(parts({"x": np.zeros(1, dtype="<f4")}, {"z": "1", "a": "2"}))
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert list(header) == ["__metadata__", "x"]
    assert list(header["__metadata__"]) == ["z", "a"]


def test_nothing_is_copied(tmp_path: Path) -> None:
    """Neither an array nor what lies in a file: a block at a time is in memory."""
    numbers = np.ones(1 << 22, dtype="<f4")
    tensors: dict[str, Any] = {
        "a": numbers,
        "b": laid_down(numbers, tmp_path),
        "c": torch.from_numpy(numbers),
    }
    length = 0
    tracemalloc.start()
    try:
        for part in parts(tensors):
            length += len(part)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert length > 3 * numbers.nbytes
    assert peak < numbers.nbytes / 4


def test_a_kind_that_the_format_has_not_is_refused() -> None:
    """Nothing is written under another's name."""
    with pytest.raises(KeyError, match="c16"):
        file_of({"x": torch.zeros(1, dtype=torch.complex128)})
