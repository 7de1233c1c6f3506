"""Each audit passes on the sound code and names each planted bug by its code (A1, A2)."""

from typing import Any

import pytest
import torch
from flwr.app import MetricRecord, RecordDict

import client.dp_optimizer
import client.trainer
from client.dp_optimizer import RecordOptimizer
from server.aggregation import RoundSum
from shared.config import RunConfig, Scalar
from shared.dp.noise import gaussian_noise
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import SeededRandomness
from shared.messages import TrainReply
from shared.parameters import FlatVector, flatten
from shared.task import Examples
from shared.tasks.digits import mlp
from simulations.audits.mechanism_audit import audit_mechanism, releases
from simulations.audits.record_and_replay import replay_clients, replay_records

CONFIG = RunConfig.from_run_config(
    {
        "task": "digits",
        "training.batch_size": 5,
        "runtime.device": "cpu",
    }
)
SAMPLED = PrivacyPlan.from_config(RunConfig.from_run_config({"task": "digits"}))
CLIENTS = PrivacyPlan.from_config(
    RunConfig.from_run_config({"privacy.unit": "client", "population.size": 3})
)


def replayed() -> set[str]:
    """Codes of A1 at record level."""
    generator = torch.Generator().manual_seed(1)
    data = Examples((torch.randn(6, 1, 8, 8, generator=generator),), torch.arange(6))
    return {finding.code for finding in replay_records(CONFIG, flatten(mlp()), data)}


def audited(plan: PrivacyPlan, **options: Any) -> dict[str, dict[str, Any]]:
    """A2 by name."""
    return {a["name"]: a for a in audit_mechanism(plan, trials=2000, **options)}


@pytest.mark.no_cover
def test_the_sound_code_passes() -> None:
    """All of it."""
    assert replayed() == set()
    assert replay_clients(CLIENTS) == ()
    for plan in (SAMPLED, CLIENTS):
        assert all(audit["passed"] for audit in audited(plan).values())


def test_what_stays_or_is_compressed_is_audited_as_the_same_step() -> None:
    """Local layers are part of the noisy step; a compressed vector is a vector."""
    asked: dict[str, Scalar] = {"training.local_layers": "3", "training.compression": "top_k"}
    config = RunConfig.from_run_config(CONFIG.flat() | asked)
    data = Examples((torch.ones(2, 1, 8, 8),), torch.arange(2))
    assert replay_records(config, flatten(mlp()), data) == ()
    flat = {"privacy.unit": "client", "population.size": 3} | asked
    plan = PrivacyPlan.from_config(RunConfig.from_run_config(flat))
    assert replay_clients(plan) == ()
    assert releases(plan, 3, with_unit=True, randomness=SeededRandomness(1)).shape == (3, 3)


@pytest.mark.parametrize("unit", ["record", "client"])
def test_a_step_whose_noise_all_share_in_is_audited_without_it(unit: str) -> None:
    """Sensitivity, divisor and fields; of the noise nothing is said, for canaries measure it."""
    shared = {"privacy.unit": unit, "privacy.noise": "distributed", "population.size": 20}
    config = RunConfig.from_run_config(CONFIG.flat() | shared | {"cohort.sample_rate": 1.0})
    plan = PrivacyPlan.from_config(config)
    assert plan.distributed
    if unit == "client":
        assert replay_clients(plan) == ()
    else:
        data = Examples((torch.ones(2, 1, 8, 8),), torch.arange(2))
        assert replay_records(config, flatten(mlp()), data) == ()
    assert audited(plan) == {}


@pytest.mark.no_cover
def test_half_the_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A1 and A2: NOISE_STDDEV; A2's bound too is above the claim."""
    true = gaussian_noise
    monkeypatch.setattr(
        client.dp_optimizer, "gaussian_noise", lambda n, s, *, stream: true(n, s / 2, stream=stream)
    )
    assert "NOISE_STDDEV" in replayed()
    found = audited(SAMPLED)
    assert found["noise and sampling"]["result"] == "NOISE_STDDEV"
    assert not found["mechanism"]["passed"]


def test_weights_by_number_of_examples() -> None:
    """A1: SENSITIVITY."""

    class Weighted(RoundSum):
        def _count(self, *updates: FlatVector) -> None:
            for _ in range(3):
                super()._count(*updates)

    assert "SENSITIVITY" in {f.code for f in replay_clients(CLIENTS, sum_class=Weighted)}


def test_dividing_by_survivors() -> None:
    """A1: DENOMINATOR."""

    class BySurvivors(RoundSum):
        def mean(self, noise: Any, correlated: Any = None) -> Any:
            return super().mean(noise, correlated) * 3 / max(self.survivors, 1)

    assert {f.code for f in replay_clients(CLIENTS, sum_class=BySurvivors)} == {"DENOMINATOR"}


def test_an_unnoised_metric_in_the_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    """A1: UNDECLARED_FIELD."""
    true = TrainReply.to_record

    def leaking(self: TrainReply) -> RecordDict:
        record = true(self)
        record["metrics"] = MetricRecord({"loss": 0.5})
        return record

    monkeypatch.setattr(TrainReply, "to_record", leaking)
    assert "UNDECLARED_FIELD" in replayed()


@pytest.mark.no_cover
def test_shuffling_accounted_as_poisson(monkeypatch: pytest.MonkeyPatch) -> None:
    """A2: SAMPLING_NOT_POISSON."""
    monkeypatch.setattr(
        client.trainer,
        "poisson_sample",
        lambda n, q, *, stream: stream.permutation(n)[: int(n * q)],
    )
    assert audited(SAMPLED)["noise and sampling"]["result"] == "SAMPLING_NOT_POISSON"


@pytest.mark.no_cover
def test_a_reused_seed() -> None:
    """A2: NOISE_REPEATED."""

    class Stuck(SeededRandomness):
        def stream(self, purpose: str, *labels: Any) -> Any:
            del labels
            return super().stream(purpose)

    assert "NOISE_REPEATED" in audited(SAMPLED, randomness=Stuck(1))["noise and sampling"]["result"]


def test_a_denominator_of_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """A1: DENOMINATOR."""

    class Dividing(RecordOptimizer):
        count = 0

        def accumulate(self, examples: int) -> None:
            self.count += examples
            super().accumulate(examples)

        def scale_grad(self) -> None:
            for parameter in self.params:
                parameter.grad /= max(self.count, 1)

    monkeypatch.setattr(client.trainer, "RecordOptimizer", Dividing)
    assert "DENOMINATOR" in replayed()
