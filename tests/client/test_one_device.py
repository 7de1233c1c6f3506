"""One device's process, here alone: what it sums, and what it says when it cannot."""

import socket
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as group
from torch import nn

from client import one_device
from client.device_wire import receive, send
from client.several_devices import SeveralDevices
from client.sharded import Sharded
from shared.config import Scalar
from tests.client.device_tasks import KEYS, SHARDED, TURN, devices, several
from tests.client.toy import examples, start

PLAIN: dict[str, Scalar] = KEYS | {"privacy.unit": "none", "training.momentum": 0.5}


class Here:
    """In the place of `DeviceProcesses`: one device, in this process.

    Args:
        made: Whose processes it takes the place of.
        folder: Where processes would meet.
    """

    def __init__(self, made: SeveralDevices, folder: Path) -> None:
        order = made.processes._order | {"meet": str(folder / "meet"), "rank": 0}
        self._thread = threading.Thread(target=self._serve)
        ours, theirs = socket.socketpair()
        self._ours, self._theirs = Connection(ours.detach()), Connection(theirs.detach())
        self._thread.start()
        send(self._ours, order)
        receive(self._ours)

    def __len__(self) -> int:
        return 1

    def _serve(self) -> None:
        one_device.serve(self._theirs)

    def ask(self, messages: list[Any]) -> list[Any]:
        """As `DeviceProcesses.ask`."""
        [(said, tensors)] = messages
        send(self._ours, said, tensors)
        return [receive(self._ours)]

    def end(self) -> None:
        """It has nobody to answer any more."""
        self._ours.close()
        self._thread.join()
        group.destroy_process_group()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Any]:
    """Makes devices of one process, for one test."""
    made: list[Here] = []

    def make(keys: dict[str, Scalar]) -> SeveralDevices:
        found = devices(keys, ("cpu",))
        made.append(Here(found, tmp_path))
        found.processes = made[0]  # type: ignore[assignment]
        return found

    yield make
    made[0].end()


@pytest.mark.parametrize(
    ("keys", "exactly"),
    [
        (KEYS, True), (SHARDED, True), (KEYS | {"model": "twice"}, True), (PLAIN, False),
        (PLAIN | {"runtime.autocast": True}, False),
    ],
    ids=["whole", "sharded", "by hooks", "plain", "autocast"],
)  # fmt: skip
def test_one_device_is_the_ordinary_trainer(
    here: Any, keys: dict[str, Scalar], exactly: bool
) -> None:
    """Bit for bit, where the same numbers are added in the same order."""
    count = {"": 53, "wide": 131, "twice": 24}[str(keys.get("model", ""))]
    made = here(keys)
    for records in (23, 1, 0):
        found, alone = (
            several(keys, each).moved(start(count), examples(records), TURN)
            for each in (made, None)
        )
        if exactly:
            assert found.tobytes() == alone.tobytes()
        np.testing.assert_allclose(found, alone, atol=2e-2 if "autocast" in str(keys) else 1e-6)


def test_dropout_follows_the_seed_that_it_is_told(here: Any) -> None:
    """The same in the same turn again."""
    keys = KEYS | {"model": "dropping"}
    made = here(keys)
    trainer = several(keys, made)
    first, again = (trainer.moved(start(83), examples(9), TURN) for _ in range(2))
    assert first.tobytes() == again.tobytes()


def test_the_trainer_is_told_what_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And the process then waits for its end, since others may wait for it."""
    first, second = socket.socketpair()
    ours = Connection(first.detach())
    order = devices(KEYS | {"task": "no_such_task"}).processes._order
    send(ours, order | {"meet": str(tmp_path / "meet"), "rank": 0, "devices": ["cpu"]})
    monkeypatch.setattr(one_device, "_over_with_the_trainer", id)
    thread = threading.Thread(target=one_device.main, args=([str(second.detach())],))
    thread.start()
    said, _ = receive(ours)
    assert said["error"] == "ConfigurationError"
    assert "no_such_task" in said["text"]
    assert thread.is_alive()
    ours.close()
    thread.join()
    group.destroy_process_group()


def test_it_is_over_when_the_trainer_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it computes then."""
    over: list[int] = []
    monkeypatch.setattr("client.one_device.os._exit", over.append)
    ours, theirs = (Connection(end.detach()) for end in socket.socketpair())
    thread = threading.Thread(
        target=one_device._over_with_the_trainer, args=(theirs.fileno(),), daemon=True
    )
    thread.start()
    send(ours, {"passes": 1})
    assert over == []
    ours.close()
    thread.join()
    assert over == [0]


def test_a_device_holds_rows_and_gathers_a_layer_at_a_time(tmp_path: Path) -> None:
    """Made-up passes add nothing, whatever comes of them."""
    group.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))

        def losses(called: nn.Module, batch: Any) -> torch.Tensor:
            outputs: torch.Tensor = called(*batch.inputs)
            nothing_finite: torch.Tensor = outputs.sum(1) / (batch.targets * 0)
            return nothing_finite

        part = Sharded(model, losses, 0.7, 3, torch.device("cpu"))
        flat = torch.from_numpy(start(43))
        assert torch.equal(part.sums(flat, examples(5), 4), torch.zeros(43))
        assert torch.equal(torch.cat([rows.flatten() for rows in part._shares]), flat)
    finally:
        group.destroy_process_group()
