"""Examples: tensors of equal length that can be selected, chunked and moved."""

import pytest
import torch

from shared.errors import DataError
from shared.task import Examples


def examples(count: int) -> Examples:
    """`count` numbered examples with two inputs."""
    numbers = torch.arange(count)
    return Examples((numbers, numbers.float().unsqueeze(1)), numbers)


def test_lengths_must_agree() -> None:
    """A target without an input is a corrupt data set."""
    with pytest.raises(DataError, match="one length"):
        Examples((torch.zeros(2),), torch.zeros(3))


@pytest.mark.parametrize("rows", [[], [2], [3, 0, 3]])
def test_selection_keeps_the_asked_order(rows: list[int]) -> None:
    """No rows select no examples, without an error."""
    chosen = examples(4).select(torch.tensor(rows, dtype=torch.int64))
    assert chosen.targets.tolist() == rows
    assert chosen.inputs[1].shape == (len(rows), 1)


@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_chunks_are_all_examples_in_order(count: int) -> None:
    """At most `size` at a time; nothing is lost or repeated."""
    parts = list(examples(count).chunks(2))
    assert [t for part in parts for t in part.targets.tolist()] == list(range(count))
    assert all(0 < len(part) <= 2 for part in parts)


def test_on_the_cpu_nothing_is_copied() -> None:
    """Moving to the CPU is the identity."""
    source = examples(3)
    assert source.to(torch.device("cpu")) is source


def test_another_device_receives_every_tensor() -> None:
    """Shown on torch's meta device, which needs no hardware."""
    moved = examples(3).to(torch.device("meta"))
    assert all(tensor.is_meta for tensor in (*moved.inputs, moved.targets))


def test_a_gpu_receives_pinned_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's pages are pinned first, and the copy does not wait."""
    seen: list[tuple[str, object]] = []

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        seen.append(("pin", len(tensor)))
        return tensor

    def move(tensor: torch.Tensor, _device: torch.device, *, non_blocking: bool) -> torch.Tensor:
        seen.append(("move", non_blocking))
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", move)
    examples(2).to(torch.device("cuda:0"))
    assert seen == [("pin", 2), ("move", True)] * 3
