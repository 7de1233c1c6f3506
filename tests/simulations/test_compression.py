"""Compressed updates cost fewer bytes on the wire, stay within the clip, and still learn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Context, Message

from client.app import app
from client.letters import Letter
from server.report.verify import verify
from shared.compression import unpack
from shared.config import Scalar
from shared.messages import TrainReply
from simulations.federation import simulate
from tests.simulations.test_scaffold import RUN as BOWLS
from tests.simulations.test_scaffold import SCAFFOLD, model_of

DIGITS: dict[str, Scalar] = {
    "task": "digits", "rounds": 1, "seed": 3, "population.size": 3, "runtime.device": "cpu",
    "population.examples_per_client": 40, "privacy.delta": 1e-3, "privacy.epsilon_budget": 1e9,
    "training.batch_size": 20, "training.learning_rate": 0.5, "output.run_id": "run",
    "output.tensorboard": False,
}  # fmt: skip
CLIENT: dict[str, Scalar] = {"privacy.unit": "client", "privacy.clipping_norm": 0.1}
NUMBERS = 2410


class Wire:
    """The clients' app, which counts the bytes of each update as they would leave a guard."""

    def __init__(self, *, spoil: bool = False) -> None:
        self.bytes: list[int] = []
        self.sent: list[TrainReply] = []
        self._spoil = spoil

    def __call__(self, message: Message, context: Context) -> Message:
        """As the app answers."""
        reply = app(message, context)
        if message.metadata.message_type != "train":
            return reply
        sent = TrainReply.from_record(reply.content)
        if self._spoil and context.node_config["partition-id"] == 1:
            other = {"packed": b""} if sent.packed else {"packed": b"x"}
            zeros = {"update": np.zeros(NUMBERS, dtype=np.float32)}
            sent = replace(sent, **(other | zeros))  # type: ignore[arg-type]
            return Message(sent.to_record(), reply_to=message)
        self.sent.append(sent)
        self.bytes.append(Letter.of(Message(reply.content, reply_to=message)).size)
        return reply


@pytest.mark.slow
@pytest.mark.parametrize("unit", [{}, CLIENT])
def test_an_update_has_a_quarter_or_an_eighth_of_the_bytes(
    tmp_path: Path, unit: dict[str, Scalar]
) -> None:
    """Of all that leaves a client in a round, but for some 2,000 bytes of headers."""
    sizes = {}
    for kind in ("none", "quantised", "top_k"):
        wire = Wire()
        config = DIGITS | unit | {"training.compression": kind, "output.run_id": kind}
        verify(simulate(config | {"output.dir": str(tmp_path)}, clients=wire))
        sizes[kind] = max(wire.bytes)
    assert sizes["none"] > 4 * NUMBERS
    assert sizes["quantised"] < NUMBERS + 2200
    assert sizes["top_k"] < 0.525 * NUMBERS + 2200


@pytest.mark.parametrize("kind", ["quantised", "top_k"])
def test_what_is_sent_stays_within_the_clip(tmp_path: Path, kind: str) -> None:
    """Whatever rounding and what was left out before add to it."""
    wire = Wire()
    config = DIGITS | CLIENT | {"rounds": 4, "training.steps": 5, "training.compression": kind}
    simulate(config | {"output.dir": str(tmp_path)}, clients=wire)
    updates = [unpack(reply.packed, kind, NUMBERS, 0.1) for reply in wire.sent]
    norms = [float(np.linalg.norm(update.astype(np.float64))) for update in updates]
    assert len(norms) == 12
    assert max(norms) <= 0.1 * (1 + 1e-5)
    assert max(norms) == pytest.approx(0.1, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "algorithm"), [("quantised", {}), ("top_k", SCAFFOLD)])
def test_compressed_updates_find_what_whole_ones_find(
    tmp_path: Path, kind: str, algorithm: dict[str, Scalar]
) -> None:
    """One number of two, or 8 bits of each: what is left out is not lost."""
    shared: dict[str, Scalar] = {"rounds": 40, "training.steps": 3}
    config = BOWLS | algorithm | shared | {"output.dir": str(tmp_path)}
    whole = model_of(simulate(config | {"output.run_id": "whole"}))
    smaller: dict[str, Scalar] = {"training.compression": kind, "training.kept_share": 0.5}
    assert np.linalg.norm(model_of(simulate(config | smaller)) - whole) < 0.1


@pytest.mark.parametrize("kind", ["none", "quantised"])
def test_an_update_in_the_other_form_is_left_out(tmp_path: Path, kind: str) -> None:
    """Compressed where the plan does not say so, or in full where it does."""
    config = DIGITS | CLIENT | {"training.compression": kind, "output.dir": str(tmp_path)}
    run = simulate(config, clients=Wire(spoil=True))
    log = (run / "log.txt").read_text()
    assert ("not compressed" if kind == "none" else "compressed alone") in log
