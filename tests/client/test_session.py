"""What a process keeps between messages, and which instructions it follows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from client.in_process import InProcess
from client.session import Session
from client.sessions import session
from client.site import Node
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.errors import PrivacyError
from shared.messages import TrainInstruction
from shared.parameters import flatten
from shared.task import Examples, Site
from shared.tasks.digits import Digits, mlp

RAW: dict[str, Scalar] = {
    "task": "digits",
    "model": "mlp",
    "seed": 5,
    "population.size": 3,
    "population.examples_per_client": 20,
    "training.batch_size": 4,
    "runtime.device": "cpu",
}


def node(index: int, **more: Scalar) -> Node:
    """A client of a simulation."""
    config = {"partition-id": index, "num-partitions": 3, "allow-seeded-runs": True}
    return Node(config | {key.replace("_", "-"): value for key, value in more.items()})


def instruction(plan: PrivacyPlan | None = None) -> TrainInstruction:
    """An instruction for the first round under `plan`, by default that of RAW."""
    plan = plan or PrivacyPlan.from_config(RunConfig.from_run_config(RAW))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        parameters = flatten(mlp())
    return TrainInstruction(
        round_number=1,
        attempt=2,
        plan=plan.canonical(),
        plan_digest=plan.digest(),
        clipping_norm=plan.clipping_norm,
        parameters=parameters,
    )


def fresh(config: RunConfig) -> Session:
    """A session that served nobody yet."""
    return Session(config, InProcess(config))


def test_a_client_tells_its_name() -> None:
    """And nothing else."""
    assert session(RAW).enrol(node(1)).client_id == "site-000001"


def test_the_reply_answers_its_instruction() -> None:
    """Round, attempt and plan are those asked for; the update fits the model."""
    asked = instruction()
    reply = session(RAW).train(node(1), asked)
    assert (reply.round_number, reply.attempt) == (1, 2)
    assert reply.plan_digest == asked.plan_digest
    assert reply.update.shape == asked.parameters.shape
    assert reply.update.any()


def test_in_one_process_or_in_many_an_update_is_the_same() -> None:
    """Sessions that served others first, or nobody: same bytes; other clients: other updates."""
    served = fresh(RunConfig.from_run_config(RAW))
    others = [served.train(node(index), instruction()).update for index in (0, 2)]
    update = served.train(node(1), instruction()).update
    again = fresh(RunConfig.from_run_config(RAW)).train(node(1), instruction()).update
    assert update.tobytes() == again.tobytes()
    assert not any(np.array_equal(update, other) for other in others)


@pytest.mark.parametrize(
    "key", ["privacy.noise_multiplier", "privacy.clipping_norm", "rounds", "privacy.delta"]
)
def test_an_instruction_for_another_plan_is_refused_before_data_are_read(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan must be that of the node's own run configuration, whatever the digest says."""
    monkeypatch.setattr("client.in_process.load_task", None)
    config = RunConfig.from_run_config(RAW | {key: 2 if key == "rounds" else 1e-6})
    own = fresh(RunConfig.from_run_config(RAW))
    other = instruction(PrivacyPlan.from_config(config))
    with pytest.raises(PrivacyError, match="expected an instruction for the plan"):
        own.train(node(0), other)
    with pytest.raises(PrivacyError):
        own.train(node(0), replace(other, plan_digest=instruction().plan_digest))
    with pytest.raises(PrivacyError):
        own.train(node(0), replace(instruction(), plan_digest=other.plan_digest))
    with pytest.raises(PrivacyError):
        own.train(node(0), replace(instruction(), plan=instruction().plan + " "))


def test_a_seeded_run_is_refused_before_data_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """At enrolment and at training."""
    monkeypatch.setattr("client.in_process.load_task", None)
    strict = Node({"partition-id": 0, "num-partitions": 3})
    with pytest.raises(PrivacyError):
        session(RAW).enrol(strict)
    with pytest.raises(PrivacyError):
        session(RAW).train(strict, instruction())


def test_one_process_reads_a_sites_data_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The task is built once too; each site has its own data."""
    read: list[int] = []
    original = Digits.site_data

    def counted(self: Digits, site: Site) -> Examples:
        read.append(site.index)
        return original(self, site)

    monkeypatch.setattr(Digits, "site_data", counted)
    own = fresh(RunConfig.from_run_config(RAW))
    for index in (0, 1, 0, 1, 2):
        own.train(node(index), instruction())
    assert read == [0, 1, 2]


CORRELATED: dict[str, Scalar] = {
    "privacy.unit": "client",
    "privacy.delta": 1e-3,
    "privacy.correlation": "banded",
    "privacy.min_separation": 2,
    "privacy.bands": 2,
    "rounds": 4,
}


def test_correlated_noise_is_refused_without_a_ledger_before_data_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing else remembers how often this client took part."""
    monkeypatch.setattr(Digits, "site_data", None)
    raw = RAW | CORRELATED
    asked = instruction(PrivacyPlan.from_config(RunConfig.from_run_config(raw)))
    with pytest.raises(PrivacyError, match="needs a privacy ledger"):
        session(raw).train(node(0), asked)


def test_a_client_refuses_a_participation_that_the_accounting_does_not_cover(
    tmp_path: Path,
) -> None:
    """Whatever the server asks, in a process that knows nothing but the ledger."""
    config = RunConfig.from_run_config(RAW | CORRELATED | {"seed": "os"})
    asked = instruction(PrivacyPlan.from_config(config))
    here = node(0, virtual_ledgers=str(tmp_path))
    first = replace(asked, attempt=1)
    assert fresh(config).train(here, first).round_number == 1
    with pytest.raises(PrivacyError, match="2 apart"):
        fresh(config).train(here, replace(first, round_number=2))
    assert fresh(config).train(here, replace(first, round_number=3)).round_number == 3


def test_a_round_beyond_the_plan_is_refused() -> None:
    """It has no charge there."""
    late = replace(instruction(), round_number=61)
    with pytest.raises(PrivacyError, match="expected a round of the plan's 60"):
        session(RAW).train(node(1), late)


@pytest.mark.parametrize("clip", [0.25, 1e9])
def test_another_clipping_norm_than_the_plans_is_refused(clip: float) -> None:
    """The server's report would promise another bound than the one that was kept."""
    with pytest.raises(PrivacyError, match="clipping norm"):
        session(RAW).train(node(0), replace(instruction(), clipping_norm=clip))


def test_an_adaptive_clip_follows_the_instruction_and_says_whether_it_held() -> None:
    """The update has one number more: half if it was within the clip as it was."""
    raw = RAW | {"privacy.unit": "client", "privacy.clipping": "adaptive", "seed": 6}
    plan = PrivacyPlan.from_config(RunConfig.from_run_config(raw))
    for clip, indicator in [(1e-4, -0.5), (1e4, 0.5)]:
        asked = replace(instruction(plan), clipping_norm=clip)
        update = session(raw).train(node(0), asked).update
        assert len(update) == len(asked.parameters) + 1
        assert update[-1] == indicator
        assert np.linalg.norm(update[:-1]) <= clip * (1 + 1e-6)
    with pytest.raises(PrivacyError, match="clipping norm"):
        session(raw).train(node(0), replace(instruction(plan), clipping_norm=0.0))
