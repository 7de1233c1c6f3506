"""Which device trains: auto, cpu, cuda, cuda:n or mps."""

import re

import torch

from shared.errors import ConfigurationError

_NAME = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


def choose_device(name: str, gpu_memory_fraction: float = 1.0) -> torch.device:
    """The device that `name` asks for; `auto` takes the first GPU, else the CPU.

    On a CUDA device float32 is float32 from then on, in the whole process: TF32 is turned off.

    Args:
        name: auto, cpu, cuda, cuda:n or mps.
        gpu_memory_fraction: Largest share of a CUDA device's memory for this process, so that
            several clients can share one GPU.

    Raises:
        ConfigurationError: no such name, or no such device here; says what is here.
    """
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"device must be auto, cpu, cuda, cuda:n or mps, got {name!r}")
    here = _available()
    wanted = here[-1] if name == "auto" else "cuda:0" if name == "cuda" else name
    if wanted not in here:
        raise ConfigurationError(f"device must be one of {', '.join(here)} here, got {name!r}")
    device = torch.device(wanted)
    if device.type == "cuda":
        _compute_exactly()
        if gpu_memory_fraction < 1.0:
            torch.cuda.set_per_process_memory_fraction(gpu_memory_fraction, device)
    return device


def _compute_exactly() -> None:
    """No TF32: it keeps 10 bits of each factor."""
    # Guarantee: a norm and the gradient it scales come from different products; with TF32, which
    # torch allows in convolutions by default, they differ by far more than a clip may be off.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def _available() -> list[str]:
    """All devices here, the one that `auto` takes last."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *mps, *(f"cuda:{index}" for index in reversed(range(gpus)))]
