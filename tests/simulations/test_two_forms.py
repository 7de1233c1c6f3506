"""A reply has its numbers in one form: in clear or under masks, as the run says; never in both."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Context, Message

from client.app import app
from shared.config import Scalar
from shared.messages import TrainReply
from shared.query_messages import MESSAGE_TYPES, QueryReply
from simulations.federation import simulate
from tests.server.fake_grid import vector

RUN: dict[str, Scalar] = {
    "task": "digits", "rounds": 1, "seed": 5, "population.size": 6,
    "population.examples_per_client": 40, "training.batch_size": 20, "evaluation.private_every": 1,
    "privacy.epsilon_budget": 1e4, "privacy.delta": 1e-3, "aggregation.dropped_fraction": 0.2,
    "aggregation.bits": 20, "audit.canaries": 0, "output.tensorboard": False,
    "output.run_id": "run",
}  # fmt: skip


def both(message: Message, context: Context) -> Message:
    """Client 1 adds the other form to what it sends."""
    reply = app(message, context)
    if context.node_config["partition-id"] != 1:
        return reply
    if message.metadata.message_type == "train":
        sent = TrainReply.from_record(reply.content)
        added = {"update": vector(1.0, 2.0)} if sent.masked else {"masked": b"x"}
        return Message(replace(sent, **added).to_record(), reply_to=message)
    if message.metadata.message_type in MESSAGE_TYPES.values():
        told = QueryReply.from_record(reply.content)
        more = {"sums": vector(1.0, 2.0)} if told.masked else {"masked": b"x"}
        return Message(replace(told, **more).to_record(), reply_to=message)
    return reply


@pytest.mark.parametrize("masked", ["on", "off"])
def test_who_sends_both_forms_is_left_out(tmp_path: Path, masked: str) -> None:
    """Of training and of scores, by the others' names for it in the log."""
    config = RUN | {"output.dir": str(tmp_path), "secure_aggregation": masked}
    run = simulate(config, clients=both)
    (line,) = [json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()]
    assert (line["answered"], line["lost"]) == (5, 1)
    assert line["private_accuracy"] is not None
    log = (run / "log.txt").read_text()
    alone = "under masks alone" if masked == "on" else "in clear alone"
    for what in ("an update", "a sum"):
        assert f"site-000001 is left out: expected {what} {alone}" in log
