"""What one process keeps between messages: configuration, task and trainer of a run.

In deployment each message has a process of its own; in a simulation one process serves them all.
"""

from collections.abc import Mapping
from functools import lru_cache

from client.site import ThisSite, this_site
from client.trainer import LocalTraining
from shared.config import RunConfig, Scalar
from shared.device import choose_device
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import randomness_for
from shared.errors import PrivacyError
from shared.messages import Enrolled, TrainInstruction, TrainReply
from shared.task import Examples, Task, TaskSettings
from shared.tasks import load_task, task_settings

_KEPT = 64  # sites, so that a simulation does not read a file for each client and round


class Session:
    """One run as this process sees it.

    Args:
        config: The run's configuration.
    """

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._plan = PrivacyPlan.from_config(config)
        self._digest = self._plan.digest()
        self._settings = task_settings(config)
        self._randomness = randomness_for(config.seed)
        self._prepared = lru_cache(maxsize=_KEPT)(self._prepare)
        self._examples = lru_cache(maxsize=_KEPT)(self._read)

    def enrol(self, node_config: Mapping[str, Scalar]) -> Enrolled:
        """This node's name, if it may and can take part in the run."""
        return Enrolled(client_id=this_site(node_config, self._config).client_id)

    def train(self, node_config: Mapping[str, Scalar], instruction: TrainInstruction) -> TrainReply:
        """Train once, for the plan that was announced and no other.

        Raises:
            PrivacyError: the instruction's plan is not the one of this node's run configuration.
            FederationError: as `this_site`, the task and `LocalTraining.update` raise it.
        """
        site = this_site(node_config, self._config)
        # Guarantee: noise, clip and sampling below come from this plan; an instruction that
        # promises the server's report another one is refused before any data is read.
        if (instruction.plan, instruction.plan_digest) != (self._plan.canonical(), self._digest):
            raise PrivacyError(
                f"expected an instruction for the plan {self._digest[:12]}, got "
                f"{instruction.plan_digest[:12]}"
            )
        _, training = self._prepared(site.settings(self._settings))
        update = training.update(
            instruction.parameters,
            self._examples(site),
            randomness=self._randomness,
            round_number=instruction.round_number,
            attempt=instruction.attempt,
            client_id=site.client_id,
        )
        return TrainReply(
            round_number=instruction.round_number,
            attempt=instruction.attempt,
            plan_digest=self._digest,
            update=update,
        )

    def _prepare(self, settings: TaskSettings) -> tuple[Task, LocalTraining]:
        runtime = self._config.runtime
        device = choose_device(runtime.device, runtime.gpu_memory_fraction)
        task = load_task(self._config.task, settings)
        return task, LocalTraining(self._config, task, self._plan, device)

    def _read(self, site: ThisSite) -> Examples:
        task, _ = self._prepared(site.settings(self._settings))
        return task.site_data(site.site)


def session(run_config: Mapping[str, Scalar]) -> Session:
    """The session of a raw run config; the same object for the same config."""
    # With their types: True == 1 == 1.0, but a configuration accepts one of them only.
    return _session(
        tuple(sorted((key, type(run_config[key]), run_config[key]) for key in run_config))
    )


@lru_cache(maxsize=2)
def _session(items: tuple[tuple[str, type[Scalar], Scalar], ...]) -> Session:
    return Session(RunConfig.from_run_config({key: value for key, _, value in items}))
