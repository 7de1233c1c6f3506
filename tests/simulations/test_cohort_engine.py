"""The cohort engine against one message to each client: the same model, charges and losses."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from client.turn import Turn
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import SeededRandomness
from shared.errors import ConfigurationError, FederationError
from shared.task import Examples, TaskSettings
from shared.tasks.digits import Digits
from simulations import stacked, threads
from simulations.cohort_engine import CohortEngine
from simulations.faults import Fault, Faults, ScriptedFaults
from simulations.federation import simulate
from simulations.reading import Client
from simulations.stacked import Stacked, can_be_stacked
from simulations.stacked_records import StackedRecords
from simulations.threads import draws

HERE = "tests.simulations.test_cohort_engine"
COMMON: dict[str, Scalar] = {
    "task": "digits",
    "model": "mlp",
    "rounds": 3,
    "seed": 11,
    "population.size": 12,
    "population.examples_per_client": 0,
    "cohort.sample_rate": 0.6,
    "training.batch_size": 16,
    "training.learning_rate": 0.3,
    "privacy.epsilon_budget": 1e6,
    "output.tensorboard": False,
}
CLIENT: dict[str, Scalar] = COMMON | {
    "privacy.unit": "client",
    "privacy.clipping_norm": 0.4,
    "training.steps": 0,
    "training.epochs": 1,
}
RECORD: dict[str, Scalar] = COMMON | {"training.steps": 2, "cohort.sample_rate": 1.0}
NONE: dict[str, Scalar] = COMMON | {"privacy.unit": "none", "training.steps": 3}
UNEVEN: dict[str, Scalar] = {"population.partition": "dirichlet", "population.alpha": 0.3}
RUNS: dict[str, dict[str, Scalar]] = {
    "client": CLIENT,
    "client, cnn, uneven": CLIENT | UNEVEN | {"model": "tiny_cnn"},
    "record": RECORD,
    "record, cnn": RECORD | {"model": "tiny_cnn", "training.proximal_term": 0.1},
    "none, adam": NONE | {"training.optimizer": "adam", "training.learning_rate": 0.01},
    "none, momentum, pull": NONE | {"training.momentum": 0.5, "training.proximal_term": 0.2},
    "normalised": CLIENT | {"statistics.private": True, "statistics.low": -1.0},
}
RUNS |= {
    "record, adam, uneven": RECORD | UNEVEN | {"training.optimizer": "adam"},
    "record, in parts": RECORD | {"training.max_physical_batch": 3, "training.momentum": 0.5},
}
LOST = ScriptedFaults(
    {(1, "1"): Fault.RAISES, (2, "1"): Fault.UNAVAILABLE, (0, "2"): Fault.UNAVAILABLE}
)


def played(
    folder: Path, engine: str, raw: Mapping[str, Scalar], faults: Faults | None = None
) -> Path:
    """The run folder of a run with this engine."""
    keys = {"runtime.engine": engine, "output.dir": str(folder), "output.run_id": engine}
    return simulate({**raw, **keys}, faults=faults)


def parameters(folder: Path) -> np.ndarray:
    """The model, flat."""
    tensors = load_file(folder / "model.safetensors")
    return np.concatenate([tensors[name].ravel() for name in sorted(tensors)])


def told(folder: Path) -> list[str]:
    """What the run says of lost clients."""
    lines = (folder / "log.txt").read_text().splitlines()
    return [line.split("WARNING", 1)[1] for line in lines if "left out" in line]


@pytest.mark.no_cover
@pytest.mark.parametrize("name", RUNS)
def test_threads_give_the_model_of_messages_bit_for_bit(name: str, tmp_path: Path) -> None:
    """Charges, the clients' own ledgers and what is said of lost clients too."""
    found = {e: played(tmp_path, e, RUNS[name], LOST) for e in ("messages", "threads")}
    one, other = found["messages"], found["threads"]
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    ledgers = () if name.startswith("none") else ("ledgers/charges.jsonl",)
    for path in ("charges.jsonl", *ledgers):
        assert sorted((one / path).read_text().splitlines()) == sorted(
            (other / path).read_text().splitlines()
        )
    assert sorted(told(one)) == sorted(told(other))


@pytest.mark.no_cover
@pytest.mark.parametrize("name", RUNS)
def test_a_stack_gives_it_but_for_rounding(name: str, tmp_path: Path) -> None:
    """Of the whole run's movement; the clip is taken 1e-5 short."""
    found = {e: played(tmp_path, e, RUNS[name], LOST) for e in ("messages", "stacked")}
    one, other = (parameters(folder) for folder in found.values())
    assert np.abs(one - other).max() <= 1e-4 * np.abs(one).max()
    assert not np.array_equal(one, other)  # it is another way


@pytest.mark.no_cover
def test_a_seeded_run_is_by_default_that_of_messages(tmp_path: Path) -> None:
    """Bit for bit, also where a stack would be possible."""
    one, other = (played(tmp_path, engine, CLIENT) for engine in ("messages", "auto"))
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "changes",
    [
        {"privacy.clipping": "adaptive", "privacy.count_noise_multiplier": 5.0},
        {"secure_aggregation": "on"},
    ],
)
def test_what_needs_single_messages_gets_them(
    changes: dict[str, Scalar], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adaptive clip and secure aggregation: nothing is trained at once."""

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(CohortEngine, "_chosen", never)
    played(tmp_path, "auto", CLIENT | {"rounds": 1} | changes)


class Dropping(Digits):
    """A model that draws random numbers in training."""

    def build_model(self) -> nn.Module:
        """64-10 with dropout."""
        return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))


def test_a_model_with_dropout_is_trained_one_client_after_another(tmp_path: Path) -> None:
    """Since torch has one generator; and is not stacked. Bit for bit again."""
    task = Dropping(TaskSettings())
    assert draws(task, task.evaluation_data())
    assert not draws(Digits(TaskSettings()), task.evaluation_data())
    assert draws(task, task.evaluation_data().select(torch.arange(0)))
    raw = CLIENT | {"task": f"{HERE}:Dropping", "model": ""}
    assert not can_be_stacked(task, PrivacyPlan.from_config(_config(raw)).mechanism)
    one, other = (played(tmp_path, engine, raw) for engine in ("messages", "threads"))
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()


def _config(raw: Mapping[str, Scalar]) -> RunConfig:
    return RunConfig.from_run_config(raw)


class Exploding(Digits):
    """Losses that no number can hold."""

    def losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Infinite as soon as anything has moved."""
        return super().losses(outputs, targets) * 1e38


@pytest.mark.no_cover
@pytest.mark.parametrize("engine", ["threads", "stacked"])
@pytest.mark.parametrize("unit", ["none", "client"])
def test_an_update_that_is_not_finite_is_lost_or_zero(
    engine: str, unit: str, tmp_path: Path
) -> None:
    """Without a clip its client is lost, as over messages; with one it counts as zero."""
    raw = (CLIENT if unit == "client" else NONE) | {
        "task": f"{HERE}:Exploding", "rounds": 1, "training.learning_rate": 1e10,
    }  # fmt: skip
    if unit == "none":
        with pytest.raises(FederationError, match="needs"):
            played(tmp_path, engine, raw)
        assert "diverged" in (tmp_path / engine / "log.txt").read_text()
        return
    found = parameters(played(tmp_path, engine, raw))
    assert np.isfinite(found).all()


def test_a_huge_update_is_clipped_like_any_other() -> None:
    """Where its square overflows single precision: its sum has the length of the clip."""
    config = _config(CLIENT)
    mechanism = PrivacyPlan.from_config(config).mechanism
    stack = Stacked(config, Digits(TaskSettings(model="mlp")), mechanism)
    rows = torch.zeros(3, 5)
    rows[0], rows[1, 2], rows[2, 1] = 1e30, float("nan"), 0.1
    careful = stack._careful(rows, 0.4)
    assert careful[0].norm() == pytest.approx(0.4, rel=1e-6)
    assert not careful[1].any()
    assert torch.equal(careful[2], rows[2])


def test_where_nothing_clips_a_huge_update_is_kept_and_its_client_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As over messages: finite is finite, whatever its square is."""
    config = _config(NONE)
    mechanism = PrivacyPlan.from_config(config).mechanism
    stack = Stacked(config, Digits(TaskSettings(model="mlp")), mechanism)
    monkeypatch.setattr(stack, "_moved", lambda *_: torch.full((2, 3), 1e30))
    turn = Turn(randomness=SeededRandomness(1), client_id="site-000001", round_number=1, attempt=1)
    named = Client(turn, Examples((torch.zeros(1, 1, 8, 8),), torch.zeros(1, dtype=torch.int64)))
    total, failed = stack._summed(torch.zeros(3), [named, named], 1.0)
    assert total == pytest.approx([2e30] * 3)
    assert failed == {}


@pytest.mark.no_cover
def test_a_planted_clip_that_does_nothing_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each of both."""

    def added(total: np.ndarray, updates: list[np.ndarray], _: float) -> None:
        total += updates[0]

    honest = parameters(played(tmp_path / "honest", "messages", CLIENT))
    monkeypatch.setattr(threads, "leaving", lambda update, *_: update)
    monkeypatch.setattr(threads, "add_clipped", added)
    assert np.abs(parameters(played(tmp_path, "threads", CLIENT)) - honest).max() > 1e-2
    monkeypatch.setattr(stacked, "_SHORT", 1e-9)
    assert np.abs(parameters(played(tmp_path, "stacked", CLIENT)) - honest).max() > 1e-2


@pytest.mark.no_cover
@pytest.mark.parametrize("planted", ["no clip", "padding counts", "one noise for all"])
def test_planted_bugs_of_stacked_records_are_seen(
    planted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clip that does nothing, padded records that count, clients that share their noise."""
    raw = RECORD | UNEVEN | {"privacy.clipping_norm": 0.2}
    honest = parameters(played(tmp_path / "honest", "messages", raw))
    kind = StackedRecords
    if planted == "no clip":
        monkeypatch.setattr(
            kind, "_clipped", lambda _self, found, real: (found * real.unsqueeze(2)).sum(1)
        )
    elif planted == "padding counts":
        exact = kind._clipped
        monkeypatch.setattr(
            kind, "_clipped", lambda self, found, real: exact(self, found, torch.ones_like(real))
        )
    else:
        own = kind._noise
        monkeypatch.setattr(
            kind, "_noise", lambda self, them, step, d: own(self, them[:1], step, d) * len(them)
        )
    assert np.abs(parameters(played(tmp_path, "stacked", raw)) - honest).max() > 1e-2


class Poisoned(Digits):
    """Records whose gradients are no numbers, or too large for a square."""

    def losses(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Of every digit 3 NaN, of every 5 infinite, of every 7 huge."""
        factors = torch.ones_like(targets, dtype=torch.float32)
        for digit, factor in ((3, float("nan")), (5, float("inf")), (7, 1e30)):
            factors = torch.where(targets == digit, factor, factors)
        return super().losses(outputs, targets) * factors


@pytest.mark.no_cover
def test_records_that_are_not_finite_count_as_zero_in_a_stack_too(tmp_path: Path) -> None:
    """The same model as over messages."""
    raw = RECORD | {"task": f"{HERE}:Poisoned"}
    one, other = (parameters(played(tmp_path, e, raw)) for e in ("messages", "stacked"))
    assert np.isfinite(one).all()
    assert np.abs(one - other).max() <= 1e-4 * np.abs(one).max()


@pytest.mark.no_cover
@pytest.mark.parametrize("model", ["mlp", "tiny_cnn"])
def test_half_precision_is_near_and_the_clip_is_exact(model: str, tmp_path: Path) -> None:
    """One client's update: as long as the clip but for rounding to float32, in both engines."""
    raw = CLIENT | {
        "model": model, "rounds": 1, "population.size": 1, "cohort.sample_rate": 1.0,
        "privacy.noise_multiplier": 0.05, "privacy.clipping_norm": 0.05, "audit.canaries": 0,
    }  # fmt: skip
    half = raw | {"runtime.autocast": True}
    start = parameters(played(tmp_path / "0", "messages", raw | {"training.learning_rate": 1e-12}))
    whole = parameters(played(tmp_path / "1", "messages", raw)) - start
    for engine in ("messages", "stacked"):
        moved = parameters(played(tmp_path / "2", engine, half)) - start
        assert 0.04 < np.linalg.norm(moved) <= 0.05 * (1 + 1e-4)
        assert 1e-5 < np.linalg.norm(moved - whole) / 0.05 < 0.1


def test_half_precision_is_refused_where_records_are_clipped() -> None:
    """At record level."""
    with pytest.raises(ConfigurationError, match="autocast must be false"):
        _config(RECORD | {"runtime.autocast": True})
