"""A1: the release path on neighbouring data, with the same randomness, call by call.

The first step is compared in full; later steps start from other parameters, so only their number,
noise and divisor are.

Source: Cebere et al. 2026 (arXiv:2602.17454).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from flwr.app import RecordDict

from client.in_process import InProcess
from client.session import Session
from client.site import Node, ThisSite
from client.update import outgoing
from server.aggregation import RoundSum
from shared.config import RunConfig
from shared.dp.mechanisms import ClientPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import SeededRandomness
from shared.dp.witness import Contribution, Place, watched_by
from shared.messages import TrainInstruction, TrainReply
from shared.parameters import FlatVector
from shared.task import Examples
from simulations.audits.bounds import Scores
from simulations.audits.findings import Finding

_SLACK = 1e-3  # of C: float32 sums
_DECLARED = {
    "protocol_version", "round_number", "attempt", "plan_digest", "ledger_head", "ledger_signature",
}  # fmt: skip
_NODE = Node({"partition-id": 0, "num-partitions": 1, "allow-seeded-runs": True})


class _Recording:
    """A witness that adds nothing and keeps every sum, in units of C."""

    def __init__(self) -> None:
        self.calls: list[tuple[Place, Scores, Scores]] = []

    def contribution(self, place: Place, dimension: int) -> Contribution:
        del place
        return Contribution(np.arange(dimension), np.zeros(dimension))

    def saw(self, place: Place, others: Scores, noisy: Scores) -> None:
        self.calls.append((place, others, noisy))


@dataclass(frozen=True, slots=True)
class _Replay:
    calls: list[tuple[Place, Scores, Scores]]
    released: Scores
    record: RecordDict | None


class _Given(InProcess):
    """Computes on what it is given."""

    def __init__(self, config: RunConfig, examples: Examples) -> None:
        self._given = examples
        super().__init__(config)

    def _read(self, site: ThisSite) -> Examples:
        del site
        return self._given


def replay_records(
    config: RunConfig, parameters: FlatVector, examples: Examples
) -> tuple[Finding, ...]:
    """What breaks at record level between `examples` and each of its neighbours.

    Args:
        config: A configuration at record level; seed, optimizer and rates are replaced.
        parameters: Global parameters, shape (d,).
        examples: At least two examples of floating-point inputs.
    """
    config = _in_clear(config)
    plain = replace(
        config,
        seed=1,
        population=replace(config.population, size=1),
        training=replace(
            config.training,
            sample_rate=1.0,  # else the record that differs might never be drawn
            optimizer="sgd",
            learning_rate=1.0,
            momentum=0.0,
            proximal_term=0.0,
        ),
    )
    whole = _replayed(plain, parameters, examples)
    findings: list[Finding] = []
    for name, neighbour in neighbours(examples).items():
        other = _replayed(plain, parameters, neighbour)
        findings += _compared(name, whole, other, PrivacyPlan.from_config(plain))
    return tuple(findings)


def neighbours(examples: Examples) -> dict[str, Examples]:
    """Sites that differ from `examples` in the last record; "empty" checks the form alone."""
    kept = examples.select(torch.arange(len(examples) - 1))

    def spoiled(factor: float) -> Examples:
        inputs = tuple(tensor.clone() for tensor in examples.inputs)
        for tensor in inputs:
            if tensor.is_floating_point():
                tensor[-1] = tensor[-1] * factor if np.isfinite(factor) else factor
        return Examples(inputs, examples.targets)

    return {
        "remove one": kept,
        "outlier": spoiled(1e6),
        "NaN": spoiled(float("nan")),
        "infinity": spoiled(float("inf")),
        "all zero": spoiled(0.0),
        "empty": examples.select(torch.arange(0)),
    }


def _in_clear(config: RunConfig) -> RunConfig:
    # Before any mask: the update is what is looked at.
    # The step is over all layers alike, whichever of them are sent. Noise that all share in is
    # added to integers, not in a step: the canaries of a simulation measure it.
    looked_at = {
        "secure_aggregation": "off",
        "privacy.noise": "whole",
        "training.local_layers": "",
        "training.algorithm": "fedavg",
        "training.compression": "none",
    }
    return RunConfig.from_run_config(config.flat() | looked_at)


def _replayed(config: RunConfig, parameters: FlatVector, examples: Examples) -> _Replay:
    plan, recording = PrivacyPlan.from_config(config), _Recording()
    instruction = TrainInstruction(
        round_number=1,
        attempt=1,
        plan=plan.canonical(),
        plan_digest=plan.digest(),
        clipping_norm=plan.clipping_norm,
        parameters=parameters,
    )
    with watched_by(recording):
        reply = Session(config, _Given(config, examples)).train(_NODE, instruction)
    return _Replay(recording.calls, reply.update.astype(np.float64), reply.to_record())


def _compared(name: str, whole: _Replay, other: _Replay, plan: PrivacyPlan) -> list[Finding]:
    mechanism = plan.mechanism
    assert isinstance(mechanism, RecordPrivacy)  # noqa: S101 - the caller's precondition
    found = _forms(name, whole, other)
    if len(other.calls) != mechanism.steps_per_round or found:
        return [*found, Finding("CALLS", f"{name}: {len(other.calls)} noisy steps")]
    # Replacing one record is two neighbours; an empty site is many.
    removed = {"remove one": 1.0, "empty": np.inf}.get(name, 2.0)
    distance = float(np.linalg.norm(whole.calls[0][1] - other.calls[0][1]))
    if not distance <= removed + _SLACK:
        found.append(Finding("SENSITIVITY", f"{name}: {distance:.3f} C"))
    for run in (whole, other):
        total = sum(call[2] for call in run.calls)
        expected = -np.asarray(total) * mechanism.clipping_norm / mechanism.batch_size
        if not np.allclose(run.released, expected, rtol=1e-3, atol=1e-4):
            found.append(Finding("DENOMINATOR", f"{name}: not the plan's {mechanism.batch_size}"))
    return found + _noise_findings(name, other, mechanism.noise_multiplier)


def _noise_findings(name: str, run: _Replay, expected: float) -> list[Finding]:
    noise = np.concatenate([noisy - others for _, others, noisy in run.calls])
    measured = float(np.sqrt(np.mean(noise**2)))
    # Seven standard deviations of a measured standard deviation.
    if abs(measured / expected - 1.0) > 7.0 / np.sqrt(2 * len(noise)) + 0.01:
        return [Finding("NOISE_STDDEV", f"{name}: {measured:.3f} C for {expected:.3f} C")]
    return []


def _forms(name: str, whole: _Replay, other: _Replay) -> list[Finding]:
    found = []
    shapes = [[(call[0], call[1].shape) for call in run.calls] for run in (whole, other)]
    if shapes[0] != shapes[1]:
        found.append(Finding("CALLS", f"{name}: another sequence of releases"))
    headers = [_header(run.record) for run in (whole, other)]
    if headers[0] != headers[1]:
        found.append(Finding("PUBLIC_FIELD", f"{name}: a public field depends on the data"))
    if not headers[0].keys() <= _DECLARED:
        extra = sorted(headers[0].keys() - _DECLARED)
        found.append(Finding("UNDECLARED_FIELD", f"{name}: {', '.join(extra)}"))
    return found


def _header(record: RecordDict | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if record is not None:
        parts: list[Any] = [*record.config_records.values(), *record.metric_records.values()]
        for part in parts:
            found |= {str(key): part[key] for key in part}
    return found


def replay_clients(
    plan: PrivacyPlan, *, dimension: int = 200, sum_class: type[RoundSum] = RoundSum
) -> tuple[Finding, ...]:
    """What breaks at client level when one client's update is zeroed or spoiled.

    Args:
        plan: A plan at client level with independent noise; for any other there is nothing to say.
            Noise that all share in is measured by canaries, as for `replay_records`.
        dimension: Length of the updates.
        sum_class: The server's sum.
    """
    if not isinstance(plan.mechanism, ClientPrivacy):
        return ()
    # The same vectors, however they are written down; and the noise that one party would add.
    plan = replace(plan, update=None, mechanism=replace(plan.mechanism, distributed=False))
    generator = np.random.default_rng(1)
    updates = [generator.normal(size=dimension).astype(np.float32) * 9 for _ in range(3)]
    zero = np.zeros(dimension, np.float32)
    spoiled: dict[str, FlatVector | None] = {
        "dropout": None,
        "zero": zero,
        "outlier": updates[-1] * np.float32(1e6),
        "NaN": zero + np.float32(np.nan),
        "infinity": zero + np.float32(np.inf),
    }
    base = _summed(plan, [*updates[:-1], zero], sum_class)
    findings: list[Finding] = []
    for name, last in {"ordinary": updates[-1], **spoiled}.items():
        findings += _clients_compared(
            name, base, _summed(plan, [*updates[:-1], last], sum_class), plan
        )
    return tuple(findings)


def _summed(
    plan: PrivacyPlan, updates: list[FlatVector | None], sum_class: type[RoundSum]
) -> _Replay:
    dimension = next(len(update) for update in updates if update is not None)
    total = sum_class(plan, dimension, cohort_size=len(updates), round_number=1, attempt=1)
    for position, update in enumerate(updates):
        if update is None:
            total.give_up(position)
            continue
        sent = outgoing(update, np.zeros(dimension, np.float32), plan.mechanism)
        total.add(
            position,
            TrainReply(round_number=1, attempt=1, plan_digest=plan.digest(), update=sent),
        )
    recording = _Recording()
    with watched_by(recording):
        mean = total.mean(SeededRandomness(1).stream("server_noise", 1, 1))
    return _Replay(recording.calls, mean, None)


def _clients_compared(name: str, base: _Replay, other: _Replay, plan: PrivacyPlan) -> list[Finding]:
    mechanism = plan.mechanism
    assert isinstance(mechanism, ClientPrivacy)  # noqa: S101 - the caller's precondition
    found = _forms(name, base, other)
    if found:
        return found
    distance = float(np.linalg.norm(base.calls[0][1] - other.calls[0][1]))
    if not distance <= 1.0 + _SLACK:
        found.append(Finding("SENSITIVITY", f"{name}: {distance:.3f} C"))
    expected = other.calls[0][2] * mechanism.clipping_norm / plan.denominator
    if not np.allclose(other.released, expected, rtol=1e-9):
        found.append(Finding("DENOMINATOR", f"{name}: not the plan's {plan.denominator}"))
    return found + _noise_findings(name, other, mechanism.update_noise_multiplier)
