"""What passes between a trainer and its devices arrives as it was."""

import socket
from multiprocessing.connection import Connection

import pytest
import torch

from client.device_wire import receive, send


@pytest.fixture
def ends() -> tuple[Connection, Connection]:
    """Of one pair of sockets."""
    first, second = socket.socketpair()
    return Connection(first.detach()), Connection(second.detach())


def test_tensors_arrive_bit_for_bit(ends: tuple[Connection, Connection]) -> None:
    """Whatever their type and layout; also without numbers, or without axes."""
    one, other = ends
    images = torch.arange(48.0).view(1, 3, 4, 4).to(memory_format=torch.channels_last)
    sent = [
        images, torch.zeros(0, 5), torch.tensor([True, False]), torch.arange(6).view(2, 3).T,
        torch.tensor(2.5), torch.tensor([1.5, float("nan")], dtype=torch.bfloat16),
    ]  # fmt: skip
    send(one, {"passes": 3}, sent)
    said, found = receive(other)
    assert said == {"passes": 3}
    assert [tensor.dtype for tensor in found] == [tensor.dtype for tensor in sent]
    for left, right in zip(sent, found, strict=True):
        assert torch.equal(left.nan_to_num(7.0), right.nan_to_num(7.0))
        assert left.shape == right.shape


def test_an_end_that_is_closed_is_noticed(ends: tuple[Connection, Connection]) -> None:
    """By who sends and by who waits."""
    one, other = ends
    one.close()
    with pytest.raises(EOFError):
        receive(other)
    with pytest.raises(OSError, match="Broken pipe"):
        send(other, {})
