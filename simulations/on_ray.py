"""The same ServerApp and ClientApp on Flower's own simulation runtime, Ray: here, or on a cluster.

A cluster is taken where RAY_ADDRESS names one; every machine of it needs Murmura and the data.
Clients are told what `InProcessGrid` tells them, but keep no ledgers (several processes, perhaps of
several machines, would share a file) and have no keys: what keeps a secret from one message to the
next needs a process that lives on.

Source: Flower 1.41, `flwr.simulation.run_simulation`.
"""

import importlib.util
import os
from collections.abc import Mapping
from typing import Any

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.supercore import telemetry

from client.app import app as client_app
from server.app import app as server_app
from shared.config import RunConfig, Scalar
from shared.device import choose_device
from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError
from shared.extras import extra


class Configured(ClientApp):
    """The ClientApp, told the run's configuration, which Flower's runtime cannot tell it.

    Args:
        run_config: Flat.
    """

    def __init__(self, run_config: Mapping[str, Scalar]) -> None:
        super().__init__()
        self._run_config = dict(run_config)

    def __call__(self, message: Message, context: Context) -> Message:
        """As the deployed app answers."""
        told = Context(
            run_id=context.run_id,
            node_id=context.node_id,
            node_config={**context.node_config, "allow-seeded-runs": True},
            state=context.state,  # what it keeps goes back to Flower with `context`
            run_config=dict(self._run_config),
        )
        return client_app(message, told)


def play(run_config: Mapping[str, Scalar], workers: int | None = None) -> None:
    """Run one federation to its end.

    Args:
        run_config: Flat, every key in it.
        workers: Processor cores of a local Ray, None: all; a cluster has what it has.

    Raises:
        ConfigurationError: Ray is not installed, or the run needs what is not to be had there.
        FederationError: as the server raises it.
    """
    config = RunConfig.from_run_config(run_config)
    _check(config)
    from flwr.simulation import run_simulation  # noqa: PLC0415 - an extra

    # Nobody asked to tell others what runs here.
    telemetry.FLWR_TELEMETRY_ENABLED = "0"
    os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    runtime = config.runtime
    gpu = choose_device(runtime.device, runtime.gpu_memory_fraction).type == "cuda"
    backend: dict[str, dict[str, Any]] = {
        "init_args": {} if workers is None else {"num_cpus": workers},
        "client_resources": {
            "num_cpus": runtime.torch_threads,
            "num_gpus": runtime.gpu_memory_fraction if gpu else 0.0,
        },
    }
    run_simulation(
        server_app=_server(run_config), client_app=Configured(run_config),
        num_supernodes=config.population.size, backend_config=backend,
    )  # fmt: skip


def _check(config: RunConfig) -> None:
    if importlib.util.find_spec("ray") is None:
        raise ConfigurationError(f"runtime.engine = 'ray' needs {extra('ray')}; got no ray")
    plan = PrivacyPlan.from_config(config)
    if plan.update is not None:
        raise ConfigurationError(
            "runtime.engine = 'ray' has no place for what clients keep between rounds "
            "(training.local_layers, training.algorithm)"
        )
    if plan.aggregation is not None:
        raise ConfigurationError(
            "runtime.engine = 'ray' needs secure_aggregation = 'off': a client's keys would have "
            "to move between processes, got it on"
        )


def _server(run_config: Mapping[str, Scalar]) -> ServerApp:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        """The deployed ServerApp; the report says that it was a simulation."""
        grid.simulated = True  # type: ignore[attr-defined]  # as `InProcessGrid` is
        told = Context(
            run_id=context.run_id,
            node_id=context.node_id,
            node_config=context.node_config,
            state=context.state,
            run_config=dict(run_config),
        )
        server_app(grid=grid, context=told)

    return app
