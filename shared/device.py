"""Which device trains: auto, cpu, cuda, cuda:n or mps; or several, which share each batch."""

import re

import torch

from shared.errors import ConfigurationError

_NAME = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_LIST = re.compile(r"cpu(,cpu)+|cuda:\d+(,cuda:\d+)+")
_ALL = "all"


def device_names(name: str) -> tuple[str, ...]:
    """The devices that one training shares its batches over; a single one shares nothing.

    Args:
        name: `all` for every GPU here, without any as `auto`; a list of different GPUs, or of
            CPUs, a process for each time one is named; or what `choose_device` takes, which is
            not looked at.

    Raises:
        ConfigurationError: no such list.

    >>> device_names("cpu,cpu"), device_names("mps")
    (('cpu', 'cpu'), ('mps',))
    """
    if name == _ALL:
        # In ascending order: the first is the one that `auto` takes.
        gpus = tuple(known for known in reversed(_available()) if known.startswith("cuda"))
        return gpus or ("auto",)
    if "," not in name:
        return (name,)
    names = tuple(name.split(","))
    if not _LIST.fullmatch(name) or (names[0] != "cpu" and len(set(names)) < len(names)):
        raise ConfigurationError(
            "several devices must be all, different GPUs as in cuda:0,cuda:1, or cpu,cpu, got "
            f"{name!r}"
        )
    return names


def choose_device(name: str, gpu_memory_fraction: float = 1.0) -> torch.device:
    """The device that `name` asks for; `auto` takes the first GPU, else the CPU; of several one.

    On a CUDA device float32 is float32 from then on, in the whole process: TF32 is turned off.

    Args:
        name: auto, cpu, cuda, cuda:n or mps; of what `device_names` takes, the first.
        gpu_memory_fraction: Largest share of a CUDA device's memory for this process, so that
            several clients can share one GPU.

    Raises:
        ConfigurationError: no such name, or no such device here; says what is here.
    """
    name = device_names(name)[0]
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            "device must be auto, cpu, cuda, cuda:n or mps, or several (all, or a list), got "
            f"{name!r}"
        )
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


def device_words(name: str, gpu_memory_fraction: float = 1.0) -> str:
    """What is chosen for `name`, for people: "cuda:0", or "cuda:0, cuda:1". Raises likewise."""
    names = device_names(name)
    first = choose_device(name, gpu_memory_fraction)
    return str(first) if len(names) == 1 else ", ".join(names)


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
