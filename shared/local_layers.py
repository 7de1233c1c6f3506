"""Which of a model's layers stay at each client: a split of its trainable parameters by name.

The names are public and part of the plan; what is in the layers is the client's alone.

Source: Arivazhagan et al. 2019 (FedPer, arXiv:1912.00818): a head of its own for each client; Li et
al. 2021 (FedBN, arXiv:2102.07623): its own normalisation layers.
"""

from dataclasses import dataclass

import torch
from torch import nn

from shared.errors import ConfigurationError
from shared.parameters import trainable


@dataclass(frozen=True, slots=True)
class Split:
    """The trainable parameters of one model, each on one side, in the model's own order.

    Attributes:
        shared: Those that travel.
        local: Those that stay.
    """

    shared: list[nn.Parameter]
    local: list[nn.Parameter]


def is_local(name: str, local_layers: str) -> bool:
    """Whether the parameter `name` is, or lies in, one of `local_layers` (a,b,c; "": none).

    >>> is_local("head.weight", "head,norm"), is_local("header.weight", "head,norm")
    (True, False)
    """
    layers = local_layers.split(",") if local_layers else []
    return any(name == layer or name.startswith(f"{layer}.") for layer in layers)


def split(model: nn.Module, local_layers: str) -> Split:
    """The split of `model` that `local_layers` describes.

    Raises:
        ConfigurationError: a name without a trainable parameter, a parameter that is in a local
            and in a shared layer, or nothing that would be shared.
    """
    everything = trainable(model)
    if not local_layers:
        return Split(shared=everything, local=[])
    # Guarantee: a parameter with two names would travel under the one and stay under the other.
    named = list(model.named_parameters(remove_duplicate=False))
    staying = {id(p) for name, p in named if is_local(name, local_layers)}
    travelling = {id(p) for name, p in named if not is_local(name, local_layers)}
    if staying & travelling:
        raise ConfigurationError(
            f"expected each parameter in a local or in a shared layer, got one that both kinds use "
            f"(training.local_layers = {local_layers!r})"
        )
    found = Split(
        shared=[parameter for parameter in everything if id(parameter) in travelling],
        local=[parameter for parameter in everything if id(parameter) in staying],
    )
    known = [name for name, parameter in named if parameter.requires_grad]
    for layer in local_layers.split(","):
        if not any(is_local(name, layer) for name in known):
            raise ConfigurationError(
                f"training.local_layers must name trainable layers of the model, such as "
                f"{known[-1].rpartition('.')[0] or known[-1]!r}, got {layer!r}"
            )
    if not found.shared:
        raise ConfigurationError(
            f"training.local_layers must leave something to share, got {local_layers!r}"
        )
    return found


@torch.no_grad()
def named_shared(model: nn.Module, local_layers: str) -> dict[str, torch.Tensor]:
    """Each parameter that is not local, by name, on the CPU; frozen ones too.

    What is there already is not copied.
    """
    return {
        name: parameter.detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        if not is_local(name, local_layers)
    }
