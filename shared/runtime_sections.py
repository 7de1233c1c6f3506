"""Sections of a run's configuration that cannot change what it guarantees; see `shared.config`."""

from dataclasses import dataclass, field

from shared.domains import fraction, one_of, positive, within
from shared.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """Lower bounds measured during a simulation; without effect in deployment.

    Attributes:
        canaries: Planted in all; -1 = as many as cost the model nothing it would notice, 0 = none.
    """

    canaries: int = field(default=-1, metadata=within(-1, 10**6))


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeConfig:
    """What cannot change the guarantee.

    Attributes:
        device: auto, cpu, cuda, cuda:n or mps; several that share each batch of one client: all
            (GPUs), cuda:0,cuda:1 or cpu,cpu.
        sharded: Whether several devices hold a share of the parameters each, not all of them.
        torch_threads: Threads of one training; the last bits may differ between values.
        gpu_memory_fraction: Share of the GPU one process may take, where several share it.
        evaluate_every: Rounds between two evaluations on public data; the last is always evaluated.
        engine: How a simulation trains a cohort (simulations/cohort_engine.py).
        autocast: Products of a forward pass in bfloat16, the rest in float32; not at record level.
    """

    device: str = "auto"
    sharded: bool = False
    torch_threads: int = field(default=1, metadata=positive())
    gpu_memory_fraction: float = field(default=1.0, metadata=fraction())
    evaluate_every: int = field(default=1, metadata=positive())
    engine: str = field(
        default="auto", metadata=one_of("auto", "measured", "messages", "threads", "stacked", "ray")
    )
    autocast: bool = False

    def __post_init__(self) -> None:
        """Refuse what several devices cannot do, or only they can."""
        if self.several and self.engine in {"stacked", "ray"}:
            raise ConfigurationError(
                f"runtime.engine = {self.engine!r} trains clients on one device, got "
                f"runtime.device = {self.device!r}"
            )
        if self.sharded and not self.several:
            raise ConfigurationError(
                "runtime.sharded needs several devices, as in runtime.device = 'cuda:0,cuda:1', "
                f"got {self.device!r}"
            )

    @property
    def several(self) -> bool:
        """Whether more than one device is asked for, by a list or by `all`."""
        return self.device == "all" or "," in self.device


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputConfig:
    """Where results go. `run_id`: "" makes one; `resume`: continue the run folder of that id.

    `mlflow`: a SQLite file, beside the run folders unless its path is whole; "" = none. `wandb`:
    off, offline (files in the run folder) or online.
    `origins` is a JSON object key -> where its value came from, written by the command line.
    `bundle_signature`: the server's app key's, of the bundle that a guard asks for.
    """

    dir: str = "runs"
    run_id: str = ""
    resume: bool = False
    tensorboard: bool = True
    mlflow: str = ""
    wandb: str = field(default="off", metadata=one_of("off", "offline", "online"))
    origins: str = "{}"
    bundle_signature: str = ""

    def __post_init__(self) -> None:
        """Refuse a store of another party."""
        # Guarantee: figures that no claim covers stay on this machine.
        if "://" in self.mlflow or self.mlflow.startswith(("databricks", "file:")):
            raise ConfigurationError(
                "output.mlflow must be the path of a SQLite file on this machine, got "
                f"{self.mlflow!r}"
            )
