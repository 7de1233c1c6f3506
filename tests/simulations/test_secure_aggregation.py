"""Secure aggregation in a whole run, in one process: the same model, dropouts, void rounds."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from safetensors.numpy import load_file
from scipy import stats

from client.app import app
from client.seeds import Attempt
from server.app import app as server_app
from server.report.verify import verify
from shared.aggregation_messages import UNMASK, UnmaskMessage
from shared.config import RunConfig, Scalar
from shared.errors import BudgetExhausted, TooFewSurvivors
from shared.messages import TrainReply
from shared.secagg.packing import fields
from simulations.faults import Fault
from simulations.federation import simulate
from simulations.grid import InProcessGrid
from tests.significance import ALPHA

CONFIG: dict[str, Scalar] = {
    "task": "digits",
    "rounds": 2,
    "seed": 5,
    "population.size": 6,
    "population.examples_per_client": 60,
    "training.batch_size": 20,
    "privacy.epsilon_budget": 1e4,
    "privacy.delta": 1e-3,
    "aggregation.dropped_fraction": 0.2,
    "audit.canaries": 0,
    "output.tensorboard": False,
    "output.run_id": "run",
}
SHARED: dict[str, Scalar] = {"privacy.noise": "distributed"}
CLIENT: dict[str, Scalar] = {"privacy.unit": "client"}
EVALUATED: dict[str, Scalar] = {"evaluation.private_every": 1, "statistics.private": True}


class Scripted:
    """Faults by (client, message type, round), each for the first `times` of these messages."""

    def __init__(self, script: dict[tuple[int, str, str], Fault], times: int = 1000) -> None:
        self._script = script
        self._left = dict.fromkeys(script, times)

    def fault(self, client_index: int, message_type: str, group_id: str) -> Fault | None:
        """The listed fault."""
        key = (client_index, message_type, group_id)
        if self._left.get(key, 0) < 1:
            return None
        self._left[key] -= 1
        return self._script[key]


def run(
    folder: Path,
    *parts: dict[str, Scalar],
    faults: Scripted | None = None,
    arrivals: dict[int, int] | None = None,
) -> Path:
    """A run in `folder`, verified."""
    config = CONFIG | {"output.dir": str(folder)}
    for part in parts:
        config |= part
    found = simulate(config, faults=faults, arrivals=arrivals)
    assert not verify(found)
    return found


def model(folder: Path) -> np.ndarray:
    """All its parameters."""
    return np.concatenate([v.ravel() for v in load_file(folder / "model.safetensors").values()])


def charges(folder: Path) -> list[tuple[str, int, int]]:
    """Kind, round and attempt of each."""
    lines = (folder / "charges.jsonl").read_text().splitlines()
    return [(c["kind"], c["round_number"], c["attempt"]) for c in map(json.loads, lines)]


@pytest.mark.parametrize(
    "parts", [{}, {"privacy.unit": "none"}, CLIENT], ids=["record", "none", "client"]
)
def test_the_model_is_the_same_but_for_rounding(tmp_path: Path, parts: dict[str, Scalar]) -> None:
    """At b = 20, with the same noise: what a sum rounds is far below what a round moves.

    At client level rounding makes the sensitivity, and so the server's noise, a little larger.
    """
    clear = model(run(tmp_path / "clear", parts, {"secure_aggregation": "off"}))
    bits: dict[str, Scalar] = {"secure_aggregation": "on", "aggregation.bits": 20}
    masked = model(run(tmp_path / "masked", parts, bits))
    assert 0.0 < np.abs(clear - masked).max() < 2e-3
    assert np.linalg.norm(clear - masked) < 1e-2


@pytest.mark.parametrize("parts", [{}, CLIENT], ids=["record", "client"])
@pytest.mark.parametrize("family", ["discrete_gaussian", "skellam"])
def test_shared_noise_runs_from_end_to_end_and_is_repeatable(
    tmp_path: Path, parts: dict[str, Scalar], family: str
) -> None:
    """With queries too; keys and masks are fresh each time and leave no trace in the sum."""
    wanted = SHARED | EVALUATED | parts | {"aggregation.noise_family": family}
    wanted |= {"aggregation.bits": 20, "privacy.noise_multiplier": 3.0}
    one, two = (run(tmp_path / name, wanted) for name in ("one", "two"))
    assert (model(one) == model(two)).all()
    assert [kind for kind, _, _ in charges(one)] == [
        "statistics", "train", "evaluate", "train", "evaluate",
    ]  # fmt: skip
    report = json.loads((one / "report.json").read_text())
    found = {claim["adversary"]: claim["epsilon"] for claim in report["claims"]}
    assert found["server_each_update"] == "inf"
    assert found["server_secagg_sum"] == found["released_model"] < 1e4


def test_lost_clients_are_left_out_of_the_sum(tmp_path: Path) -> None:
    """One in training, two members of the committee after it: the round stands."""
    script = {
        (2, "train", "1"): Fault.RAISES,
        (0, UNMASK, "1"): Fault.UNAVAILABLE,
        (4, UNMASK, "2"): Fault.RAISES,
    }
    folder = run(tmp_path, SHARED, faults=Scripted(script))
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["clients_lost"] == 1


def test_fifty_clients_mask_with_some_and_trust_a_committee(tmp_path: Path) -> None:
    """Above forty the graph is sparse.

    The model is still that of a run without masks, but for rounding, with clients lost in training.
    """
    script = {(i, "train", "1"): Fault.RAISES for i in (3, 17, 40)}
    parts: dict[str, Scalar] = {
        "population.size": 50, "population.examples_per_client": 20, "rounds": 1,
        "training.batch_size": 10, "aggregation.bits": 24, "aggregation.dropped_fraction": 0.1,
    }  # fmt: skip
    found = [
        model(run(tmp_path / on, parts, {"secure_aggregation": on}, faults=Scripted(script)))
        for on in ("off", "on")
    ]
    assert 0.0 < np.abs(found[0] - found[1]).max() < 1e-3


HELPED: dict[str, Scalar] = {"aggregation.helpers": "site-000000,site-000002,site-000005"}


@pytest.mark.parametrize("parts", [{}, CLIENT], ids=["record", "client"])
def test_helpers_give_the_model_that_a_committee_gives(
    tmp_path: Path, parts: dict[str, Scalar]
) -> None:
    """But for rounding, where a client is lost; with shared noise the report names them.

    They are in the plan, on whose digest the rotation depends, and so the noise where it is shared.
    """
    wanted: dict[str, Scalar] = parts | {"secure_aggregation": "on", "aggregation.bits": 20}
    lost = {(1, "train", "1"): Fault.RAISES}
    one = run(tmp_path / "committee", wanted, faults=Scripted(lost))
    two = run(tmp_path / "helpers", wanted | HELPED, faults=Scripted(lost))
    assert 0.0 < np.abs(model(one) - model(two)).max() < 2e-3
    shared = run(tmp_path / "shared", wanted | HELPED | SHARED, faults=Scripted(lost))
    report = json.loads((shared / "report.json").read_text())
    found = {entry["id"]: entry for entry in report["assumptions"]}
    assert found["honest_helper"]["status"] == "assumed"
    assert "site-000002" in found["honest_helper"]["text"]


def test_without_one_helper_there_is_no_round(tmp_path: Path) -> None:
    """Whether it is lost in training or after it; the next attempt stands."""
    for kind in ("train", UNMASK):
        script = {(2, kind, "1"): Fault.UNAVAILABLE}
        config = SHARED | HELPED | {"cohort.attempts": 2}
        folder = run(tmp_path / kind, config, faults=Scripted(script, times=1))
        assert charges(folder) == [("train", 1, 1), ("train", 1, 2), ("train", 2, 1)]


def test_a_client_that_seals_false_shares_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The round is void and it is named; the next attempt goes on without it."""
    true = Attempt.shared

    def false(self: Attempt, own: bytes) -> tuple[bytes, dict[str, bytes]]:
        commitments, sealed = true(self, own)
        cheat = self.client_id == "site-000003"
        return commitments, {
            name: bytes(len(content)) for name, content in sealed.items()
        } if cheat else sealed

    monkeypatch.setattr(Attempt, "shared", false)
    folder = run(tmp_path, SHARED, {"cohort.attempts": 2})
    assert charges(folder) == [("train", 1, 1), ("train", 1, 2), ("train", 2, 1)]
    assert "site-000003 sealed false shares; it is not asked again in this run" in caplog.text


def test_a_void_round_is_charged_and_tried_again(tmp_path: Path) -> None:
    """Too few uploads once: the second attempt has fresh masks, and both are paid for."""
    script = {(i, "train", "1"): Fault.UNAVAILABLE for i in range(3)}
    config = SHARED | {"cohort.attempts": 2}
    folder = run(tmp_path, config, faults=Scripted(script, times=1))
    assert charges(folder) == [("train", 1, 1), ("train", 1, 2), ("train", 2, 1)]


def test_a_run_with_too_few_uploads_says_why(tmp_path: Path) -> None:
    """Whoever started it reads how many sites were lost, and for what reason."""
    script = {(i, "train", "1"): Fault.RAISES for i in range(3)}
    names = ", ".join(f"site-{i:06}" for i in range(3))
    with pytest.raises(TooFewSurvivors, match=f"out: {names}: simulated crash; a site's own log"):
        run(tmp_path, SHARED | {"cohort.attempts": 1}, faults=Scripted(script))


def test_too_few_answers_of_the_committee_void_the_round(tmp_path: Path) -> None:
    """After the last attempt the run stops; what was charged stays."""
    script = {(i, UNMASK, "1"): Fault.RAISES for i in range(4)}
    with pytest.raises(TooFewSurvivors):
        run(tmp_path, SHARED, {"cohort.attempts": 2}, faults=Scripted(script))
    assert charges(tmp_path / "run") == [("train", 1, 1), ("train", 1, 2)]


def test_scores_that_come_to_nothing_do_not_cost_the_round(tmp_path: Path) -> None:
    """Too few answers to an evaluation: charged, left out, and the model is trained on."""
    script = {(i, "evaluate", "1"): Fault.RAISES for i in range(3)}
    config = SHARED | {"evaluation.private_every": 1, "privacy.noise_multiplier": 3.0}
    folder = run(tmp_path, config, faults=Scripted(script))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["private_accuracy"] is None for line in lines] == [True, False]
    assert ("evaluate", 1, 1) in charges(folder)


def test_a_second_attempt_that_would_overspend_is_not_made(tmp_path: Path) -> None:
    """The budget counts attempts, not rounds."""
    script = {(i, "train", "2"): Fault.UNAVAILABLE for i in range(3)}
    config = SHARED | {"cohort.attempts": 2, "privacy.noise_multiplier": 3.0}
    planned = json.loads((run(tmp_path / "a", config) / "summary.json").read_text())
    epsilon = max(c["epsilon"] for c in planned["claims"] if c["epsilon"] != "inf")
    tight = config | {"privacy.epsilon_budget": epsilon + 0.01}
    with pytest.raises(BudgetExhausted):
        run(tmp_path / "b", tight, faults=Scripted(script))


Change = Callable[[Message], None]


class Between(InProcessGrid):
    """A grid whose server looks at, and changes, what comes and goes."""

    def __init__(self, raw: dict[str, Scalar], change: Change) -> None:
        flat = RunConfig.from_run_config(raw).flat()
        super().__init__(app, int(flat["population.size"]), flat)
        self.raw, self._change = flat, change
        self.replies: list[Message] = []

    def _answer(self, message: Message) -> Message | None:
        self._change(message)
        reply = super()._answer(message)
        if reply is not None:
            self.replies.append(reply)
        return reply


def served(folder: Path, change: Change, *parts: dict[str, Scalar]) -> Between:
    """A run through `Between`; whatever the server raises is raised."""
    config = CONFIG | {"output.dir": str(folder)}
    for part in parts:
        config |= part
    grid = Between(config, change)
    server_app(grid=grid, context=Context(1, 1, {}, RecordDict(), grid.raw))
    return grid


def test_no_update_in_clear_is_in_any_reply(tmp_path: Path) -> None:
    """Under masks `update` is empty, and the masked vector looks uniform."""
    grid = served(tmp_path, lambda _: None, SHARED, {"aggregation.bits": 16})
    uploads = [
        TrainReply.from_record(reply.content)
        for reply in grid.replies
        if reply.metadata.message_type == "train"
    ]
    assert len(uploads) == 12
    for upload in uploads:
        assert upload.update.size == 0
        packed = np.frombuffer(fields(upload.masked, 7)[4], dtype=np.uint8)
        assert stats.chisquare(np.bincount(packed, minlength=256)).pvalue > ALPHA / 12


def test_a_request_to_unmask_is_answered_once(tmp_path: Path) -> None:
    """Asked again, even in the same words, a member says nothing."""
    asked: list[Message] = []

    def keep(message: Message) -> None:
        if message.metadata.message_type == UNMASK:
            asked.append(message)

    grid = served(tmp_path, keep, SHARED, {"rounds": 1})
    again = InProcessGrid._answer(grid, asked[0])
    assert again is not None
    assert again.has_error()
    assert "AggregationRefused" in str(again.error.reason)


def test_an_unmasked_request_of_another_round_is_refused(tmp_path: Path) -> None:
    """The server changes the context that it asks for: nobody answers, and the round is void."""

    def change(message: Message) -> None:
        if message.metadata.message_type == UNMASK:
            told = UnmaskMessage.from_record(message.content)
            other = bytes([told.content[8] ^ 1])
            message.content = UnmaskMessage(
                kind=told.kind, round_number=told.round_number, attempt=told.attempt,
                content=told.content[:8] + other + told.content[9:],
            ).to_record()  # fmt: skip

    with pytest.raises(TooFewSurvivors):
        served(tmp_path, change, SHARED)
