"""Whole runs in which a client comes late: in the sums from then on, and in nothing before."""

import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flwr.app import Context, Message, RecordDict

from client.app import app
from client.identity import _demonstration_key
from client.site import demonstration_name
from server.app import app as server_app
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.errors import TooFewSurvivors
from shared.messages import TrainInstruction
from shared.secagg.keys import signed_key
from shared.secagg.packing import fields, joined, keys_from_bytes, keys_to_bytes
from shared.secagg.refusal import Refusal
from simulations.faults import Fault
from simulations.federation import simulate
from simulations.grid import InProcessGrid
from tests.simulations.test_secure_aggregation import (
    CLIENT,
    CONFIG,
    EVALUATED,
    SHARED,
    Scripted,
    model,
    run,
)

LATE, FROM = 5, 3  # the last of six clients comes with the third round of four
PARTLY: dict[str, Scalar] = {
    "rounds": 4,
    "cohort.present_at_start": 0.8,
    "aggregation.bits": 24,
}
MASKED: dict[str, Scalar] = {"secure_aggregation": "on"}
SAMPLED: dict[str, Scalar] = {"cohort.sample_rate": 0.5, "cohort.minimum_survivors": 0.0}
QUIET: dict[str, Scalar] = {"privacy.noise_multiplier": 3e-4, "privacy.epsilon_budget": 1e9}
LOST = {
    (LATE, kind, str(number)): Fault.UNAVAILABLE
    for kind in ("train", "evaluate", "query.statistics")
    for number in range(1, FROM)
}


def lines(path: Path) -> list[dict[str, object]]:
    """A file of JSON, line by line."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    "parts",
    [EVALUATED, SAMPLED, CLIENT | SAMPLED, {"privacy.unit": "none"}],
    ids=["record, evaluated", "record, sampled", "client, sampled", "none"],
)
def test_a_client_that_comes_late_is_as_one_that_was_lost_before(
    tmp_path: Path, parts: dict[str, Scalar]
) -> None:
    """The same model bytes, the same draws and charges of all others, no claim the worse."""
    late = run(tmp_path / "late", PARTLY, parts, arrivals={LATE: FROM})
    lost = run(tmp_path / "lost", PARTLY, parts, faults=Scripted(LOST))
    assert model(late).tobytes() == model(lost).tobytes()
    name = demonstration_name(LATE)
    booked = [lines(folder / "charges.jsonl") for folder in (late, lost)]
    for charge in booked[1]:
        if int(str(charge["round_number"])) < FROM:
            charge["clients"] = [other for other in charge["clients"] if other != name]  # type: ignore[attr-defined]
    assert booked[0] == booked[1]
    claims = [json.loads((f / "report.json").read_text())["claims"] for f in (late, lost)]
    for here, there in zip(*claims, strict=True):
        # A lost site was asked, and is charged; at record level that may be the most of all.
        assert here["planned_epsilon"] == there["planned_epsilon"]
        assert float(here["epsilon"]) <= float(there["epsilon"])


@pytest.mark.parametrize(
    "parts",
    [MASKED, MASKED | CLIENT, SHARED | QUIET, SHARED | QUIET | CLIENT],
    ids=["whole, record", "whole, client", "shared, record", "shared, client"],
)
def test_under_masks_it_is_in_the_sums_from_then_on(
    tmp_path: Path, parts: dict[str, Scalar]
) -> None:
    """Nearly the model of a run in which it was lost before, far from one where it never came.

    Rounding and shares of noise follow the size of the cohort, so it is not the very same model.
    """
    config = CONFIG | PARTLY | parts
    late, lost, never = (
        model(simulate(config | {"output.dir": str(tmp_path / name)}, **how))  # type: ignore[arg-type]
        for name, how in {
            "late": {"arrivals": {LATE: FROM}},
            "lost": {"faults": Scripted(LOST)},
            "never": {"arrivals": {LATE: 99}},
        }.items()
    )
    assert 0.0 < np.linalg.norm(late - lost) < 0.05 * np.linalg.norm(late - never)


@pytest.mark.parametrize("parts", [{}, SHARED | CLIENT], ids=["clear", "shared"])
def test_the_ledger_of_a_client_that_came_late_holds_its_own_rounds_alone(
    tmp_path: Path, parts: dict[str, Scalar]
) -> None:
    """Nobody pays for a round before it was there."""
    config = CONFIG | PARTLY | parts | {"output.dir": str(tmp_path)}
    folder = simulate(config, arrivals={LATE: FROM})
    entries = [entry for entry in lines(folder / "ledgers/charges.jsonl") if len(entry) == 5]
    paid = {index: [e[2] for e in entries if e[0] == index] for index in (0, LATE)}  # type: ignore[index]
    assert paid == {0: [1, 2, 3, 4], LATE: [3, 4]}


class Served(InProcessGrid):
    """A grid whose server looks at, and changes, what it sends; a client may restart.

    Args:
        folder: Of the run.
        parts: Of its configuration.
        arrivals: As the grid's.
        restarts: Round at whose start a client is at another node, without what it knew.
    """

    def __init__(
        self,
        folder: Path,
        *parts: dict[str, Scalar],
        arrivals: dict[int, int] | None = None,
        restarts: dict[int, int] | None = None,
        change: Callable[[TrainInstruction], bytes] | None = None,
    ) -> None:
        config = CONFIG | PARTLY | {"output.dir": str(folder)}
        for part in parts:
            config |= part
        self.raw = RunConfig.from_run_config(config).flat()
        super().__init__(app, 6, self.raw, arrivals=arrivals)
        self._restarts = restarts or {}
        self._change = change
        self.sent: list[TrainInstruction] = []
        self.refusals: list[str] = []

    def play(self) -> "Served":
        """The whole run."""
        server_app(grid=self, context=Context(1, 1, {}, RecordDict(), self.raw))
        return self

    @property
    def folder(self) -> Path:
        """Of the run."""
        return Path(str(self.raw["output.dir"])) / "run"

    def get_node_ids(self) -> Iterable[int]:
        """A client that restarted has a node a hundred later."""
        coming = self._latest_round + 1
        moved = {index for index, number in self._restarts.items() if number <= coming}
        return [
            node + 100 if self._index(node) in moved else node for node in super().get_node_ids()
        ]

    def _index(self, node_id: int) -> int:
        index = super()._index(node_id)
        if index >= 100:
            # Flower's context is gone with the process.
            if self._restarts.get(index - 100, 0) == self._latest_round + 1:
                self._contexts.pop(index - 100, None)
            return index - 100
        gone = self._restarts.get(index, 99) <= self._latest_round
        return -1 if gone else index

    def _answer(self, message: Message) -> Message | None:
        if message.metadata.message_type == "train":
            asked = TrainInstruction.from_record(message.content)
            if self._change is not None:
                asked = asked.__class__(
                    **{name: getattr(asked, name) for name in asked.__slots__}
                    | {"aggregation": self._change(asked)}
                )
                message.content = asked.to_record()
            self.sent.append(asked)
        reply = super()._answer(message)
        if reply is not None and reply.has_error():
            self.refusals.append(str(reply.error.reason))
        return reply


def test_all_are_sent_all_keys_when_one_joins_and_then_no_more(tmp_path: Path) -> None:
    """Five at first, six to everybody in the third round."""
    grid = Served(tmp_path, SHARED | CLIENT, arrivals={LATE: FROM}).play()
    keys = [fields(asked.aggregation, 2)[0] for asked in grid.sent]
    counts = [len(keys_from_bytes(packed)) if packed else 0 for packed in keys]
    assert counts == [5] * 5 + [0] * 5 + [6] * 6 + [0] * 6
    assert not grid.refusals


def test_a_known_key_that_changed_with_the_newcomers_is_refused_by_all(tmp_path: Path) -> None:
    """Validly signed, and another: the server cannot put itself in a client's place so."""
    plan = ""

    def change(asked: TrainInstruction) -> bytes:
        packed, context = fields(asked.aggregation, 2)
        if not packed or asked.round_number < FROM:
            return asked.aggregation
        first, *others = keys_from_bytes(packed)
        name = first.client_id
        forged = signed_key(
            _demonstration_key(name), X25519PrivateKey.generate(), name, "1:run", plan
        )
        return joined(keys_to_bytes((forged, *others)), context)

    grid = Served(tmp_path, SHARED | CLIENT, arrivals={LATE: FROM}, change=change)
    plan = PrivacyPlan.from_config(RunConfig.from_run_config(grid.raw)).digest()
    with pytest.raises(TooFewSurvivors):
        grid.play()
    # The newcomer knew no key before; it finds that the context is of other keys.
    assert len(grid.refusals) == 6
    assert all(Refusal.ROSTER_CHANGED in reason for reason in grid.refusals)


def test_a_client_that_restarts_goes_on_where_nothing_was_secret(tmp_path: Path) -> None:
    """At its new node: the same model bytes as if nothing had happened."""
    moved = Served(tmp_path / "moved", restarts={2: FROM}).play()
    assert not moved.refusals
    still = Served(tmp_path / "still").play()
    assert model(moved.folder).tobytes() == model(still.folder).tobytes()


def test_a_client_that_restarts_stays_out_under_secure_aggregation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its key is gone; it is a lost one, said once, and the others go on."""
    moved = Served(tmp_path / "moved", SHARED | CLIENT, restarts={2: FROM}).play()
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert sum("with another one" in warning for warning in warnings) == 1
    found = lines(moved.folder / "metrics.jsonl")
    assert [(line["asked"], line["lost"]) for line in found] == [(6, 0), (6, 0), (6, 1), (6, 1)]
