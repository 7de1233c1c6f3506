"""Flower's own simulation on Ray, with a NumPyClient, FedAvg and Flower's central DP.

    MURMURA_WORK=cnn python flower_ray.py

Clients run as many at a time as there are cores. Flower's DP wrapper of a strategy clips at the
server, as here.
"""

import os
import sys

import numpy as np
import torch
from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, NDArrays, Parameters, Scalar, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg
from flwr.simulation import run_simulation
from torch import nn
from turns import Turns
from works import CLIP, LEARNING_RATE, NOISE, WORKS, images

WORK = WORKS[os.environ["MURMURA_WORK"]]


class Client(NumPyClient):  # type: ignore[misc]
    """One epoch over the client's images."""

    def __init__(self, index: int) -> None:
        torch.set_num_threads(1)
        pixels, labels = _images()
        self._pixels, self._labels = pixels[index], labels[index]

    def fit(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[NDArrays, int, dict[str, Scalar]]:
        """As flwr's examples do it."""
        del config
        model = WORK.model()
        with torch.no_grad():
            for weight, value in zip(model.parameters(), parameters, strict=True):
                weight.copy_(torch.from_numpy(value))
        optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
        for rows in torch.randperm(WORK.each).split(WORK.batch):
            optimizer.zero_grad(set_to_none=True)
            outputs = model(self._pixels[rows])
            nn.functional.cross_entropy(outputs, self._labels[rows]).backward()
            optimizer.step()
        return _arrays(model), WORK.each, {}


_LOADED: list[tuple[torch.Tensor, torch.Tensor]] = []


def _images() -> tuple[torch.Tensor, torch.Tensor]:
    if not _LOADED:  # once in each of Ray's workers
        _LOADED.append(images(WORK))
    return _LOADED[0]


def _arrays(model: nn.Module) -> NDArrays:
    return [weight.detach().numpy() for weight in model.parameters()]


class Rounds(FedAvg):  # type: ignore[misc]
    """A turn for each round."""

    turns: Turns | None = None

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, object]]:
        """The round begins: the last one is over."""
        if self.turns is None:
            Rounds.turns = Turns()
        else:
            self.turns.next(WORK.cohort)
        found: list[tuple[ClientProxy, object]] = super().configure_fit(
            server_round, parameters, client_manager
        )
        return found


def server(context: Context) -> ServerAppComponents:
    """FedAvg with Flower's central DP."""
    del context
    start = ndarrays_to_parameters(_arrays(WORK.model()))
    share = WORK.cohort / WORK.clients
    inner = Rounds(
        fraction_fit=share, fraction_evaluate=0.0, min_fit_clients=WORK.cohort,
        min_available_clients=WORK.clients, initial_parameters=start,
    )  # fmt: skip
    strategy = DifferentialPrivacyServerSideFixedClipping(
        inner, noise_multiplier=NOISE, clipping_norm=CLIP, num_sampled_clients=WORK.cohort
    )
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=10**6))


def client(context: Context) -> Client:
    """The client of a virtual node."""
    return Client(int(context.node_config["partition-id"])).to_client()


def main() -> None:
    """Rounds until told to stop."""
    np.random.seed(0)  # noqa: NPY002
    run_simulation(
        server_app=ServerApp(server_fn=server), client_app=ClientApp(client_fn=client),
        num_supernodes=WORK.clients,
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )  # fmt: skip


if __name__ == "__main__":
    del sys.argv[1:]  # Flower and Ray read it
    main()
