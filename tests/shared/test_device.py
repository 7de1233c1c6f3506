"""Which device trains, on machines that have several, one or no GPU."""

from typing import Any

import pytest
import torch

from shared.device import choose_device, device_names, device_words
from shared.errors import ConfigurationError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> "Machine":
    """A machine without any GPU, to which some can be given."""
    return Machine(monkeypatch)


class Machine:
    """What torch reports, as a test wants it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fractions: list[tuple[float, torch.device]] = []
        self._patch = monkeypatch
        self.has(gpus=0, mps=False)
        monkeypatch.setattr(
            "torch.cuda.set_per_process_memory_fraction",
            lambda fraction, device: self.fractions.append((fraction, device)),
        )

    def has(self, *, gpus: int, mps: bool) -> None:
        """Give it `gpus` CUDA devices, and Apple's."""
        self._patch.setattr("torch.cuda.is_available", lambda: gpus > 0)
        self._patch.setattr("torch.cuda.device_count", lambda: gpus)
        self._patch.setattr("torch.backends.mps.is_available", lambda: mps)


@pytest.mark.parametrize(
    ("gpus", "mps", "auto"), [(0, False, "cpu"), (0, True, "mps"), (1, False, "cuda:0"),
                              (2, True, "cuda:0")],
)  # fmt: skip
def test_auto_takes_the_fastest(machine: Machine, gpus: int, mps: bool, auto: str) -> None:
    """The first CUDA device, else Apple's, else the CPU."""
    machine.has(gpus=gpus, mps=mps)
    assert choose_device("auto") == torch.device(auto)


def test_a_device_that_is_here_can_be_named(machine: Machine) -> None:
    """cuda is cuda:0; the CPU is always here."""
    machine.has(gpus=2, mps=True)
    wanted = {"cpu": "cpu", "cuda": "cuda:0", "cuda:1": "cuda:1", "mps": "mps"}
    for name, device in wanted.items():
        assert choose_device(name) == torch.device(device)


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_here_is_refused(machine: Machine, name: str) -> None:
    """Never the CPU in silence; the message says what is here."""
    del machine
    with pytest.raises(ConfigurationError, match=f"device must be one of cpu here, got '{name}'"):
        choose_device(name)


def test_a_gpu_number_too_high_is_refused(machine: Machine) -> None:
    """The message lists those that are here."""
    machine.has(gpus=2, mps=False)
    with pytest.raises(ConfigurationError, match=r"one of cpu, cuda:1, cuda:0 here, got 'cuda:2'"):
        choose_device("cuda:2")


@pytest.mark.parametrize("name", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:0 ", "tpu"])
def test_an_unknown_name_is_refused(machine: Machine, name: str) -> None:
    """Nothing is guessed."""
    machine.has(gpus=1, mps=True)
    with pytest.raises(ConfigurationError, match="must be auto, cpu, cuda, cuda:n or mps"):
        choose_device(name)


def test_the_memory_of_a_gpu_can_be_shared(machine: Machine) -> None:
    """The fraction is set on the device that is chosen, where it is a CUDA device and below 1."""
    machine.has(gpus=2, mps=False)
    choose_device("cuda:1", 0.25)
    choose_device("cuda:0", 1.0)
    choose_device("cpu", 0.25)
    assert machine.fractions == [(0.25, torch.device("cuda:1"))]


def test_a_gpu_computes_in_full_precision(machine: Machine) -> None:
    """TF32, which torch allows in convolutions by default, is off once a CUDA device is chosen."""
    machine.has(gpus=1, mps=False)
    flags: list[Any] = [torch.backends.cudnn, torch.backends.cuda.matmul]
    before = [flag.allow_tf32 for flag in flags]
    try:
        for flag in flags:
            flag.allow_tf32 = True
        choose_device("cpu")
        assert all(flag.allow_tf32 for flag in flags)
        choose_device("cuda")
        assert not any(flag.allow_tf32 for flag in flags)
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


def test_all_is_every_gpu_and_without_any_as_auto(machine: Machine) -> None:
    """So that each site uses what it has; the first is the one that `auto` takes."""
    machine.has(gpus=3, mps=False)
    assert device_names("all") == ("cuda:0", "cuda:1", "cuda:2")
    assert choose_device("all") == choose_device("auto") == torch.device("cuda:0")
    machine.has(gpus=0, mps=False)
    assert device_names("all") == ("auto",)
    assert choose_device("all") == torch.device("cpu")


def test_several_can_be_listed(machine: Machine) -> None:
    """Different GPUs, or the processor as often as there shall be processes."""
    machine.has(gpus=2, mps=False)
    assert device_names("cuda:1,cuda:0") == ("cuda:1", "cuda:0")
    assert choose_device("cuda:1,cuda:0") == torch.device("cuda:1")
    assert device_names("cpu,cpu,cpu") == ("cpu",) * 3
    assert device_names("cuda:1") == ("cuda:1",)
    assert device_words("cuda:1,cuda:0") == "cuda:1, cuda:0"
    assert device_words("auto") == "cuda:0"


@pytest.mark.parametrize(
    "name", ["cuda:0,cuda:0", "cpu,cuda:0", "cuda:0,", "cuda,cuda:1", "cpu, cpu", ",", "all,cpu"]
)
def test_another_list_is_refused(machine: Machine, name: str) -> None:
    """One GPU twice would hold the model twice; a processor beside a GPU would keep it waiting."""
    machine.has(gpus=2, mps=False)
    with pytest.raises(ConfigurationError, match="several devices must be all, different GPUs"):
        choose_device(name)
