"""A turn begins with what is shared and what is kept, and parts the two again at its end."""

import numpy as np
import pytest
import torch
from torch import nn

from client.beginning import Beginning, initial_layers
from client.memory import NOTHING
from client.turn import Turn
from shared.config import Scalar
from shared.dp.randomness import SeededRandomness
from shared.errors import MessageError, StateError
from shared.local_layers import split
from tests.client.test_memory import vector
from tests.client.toy import examples, mlp, start, training

TURN = Turn(randomness=SeededRandomness(7), client_id="a", round_number=1, attempt=1)
SCAFFOLD: dict[str, Scalar] = {
    "training.algorithm": "scaffold", "training.steps": 3, "training.learning_rate": 0.1,
    "training.batch_size": 9,
}  # fmt: skip
HEAD, BODY = 18, 35


def test_all_clients_begin_with_the_same_local_layers() -> None:
    """Whatever torch's generator stands at, which stays as it is."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = initial_layers(mlp, "2")
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert initial_layers(mlp, "2").tobytes() == first.tobytes()
    assert len(first) == HEAD
    assert initial_layers(mlp, "").tobytes() == b""


@pytest.mark.parametrize("unit", ["record", "none"])
def test_training_moves_both_sides_and_gives_the_layers_back_as_they_are(unit: str) -> None:
    """As one model: the same numbers as without local layers, in another order."""
    keys: dict[str, Scalar] = {
        "privacy.unit": unit, "training.steps": 3, "training.learning_rate": 0.1,
        "training.batch_size": 9,
    }  # fmt: skip
    whole = start()
    usual = training(keys).moved(whole, examples(9), TURN)
    split_up = training(keys | {"training.local_layers": "2"})
    found = split_up.moved(whole[:BODY], examples(9), TURN, whole[BODY:])
    assert found[:BODY].tobytes() == usual[:BODY].tobytes()
    assert np.allclose(found[BODY:] - whole[BODY:], usual[BODY:], atol=1e-6)
    assert np.abs(usual[BODY:]).min() > 0.0
    first = split_up.moved(whole[:BODY], examples(9), TURN)
    kept = initial_layers(mlp, "2")
    assert first.tobytes() == split_up.moved(whole[:BODY], examples(9), TURN, kept).tobytes()


def test_a_client_whose_control_is_the_server_s_trains_as_usual() -> None:
    """Its own then moves to what it has just seen; without records nothing moves."""
    trainer = training(SCAFFOLD | {"privacy.unit": "none"})
    usual = training({**SCAFFOLD, "privacy.unit": "none", "training.algorithm": "fedavg"})
    sent, server = np.concatenate([start(), start(seed=1)]), start(seed=1)
    assert not trainer.moved(sent, examples(0), TURN, start(seed=2)).any()
    found = trainer.moved(sent, examples(9), TURN, server)
    assert np.allclose(found[:53], usual.moved(start(), examples(9), TURN), atol=1e-6)
    assert (-found[:53] - server).tobytes() == found[53:].tobytes()


def test_a_record_level_control_moves_by_what_was_released_already() -> None:
    """Even without a record: so it costs nothing beside the noisy steps."""
    trainer = training(SCAFFOLD)
    for data in (examples(0), examples(9)):
        server = start(seed=1)
        found = trainer.moved(np.concatenate([start(), server]), data, TURN, start(seed=2))
        assert (-found[:53] - server).tobytes() == found[53:].tobytes()


def test_a_drift_moves_what_no_loss_depends_on() -> None:
    """Its parameter has no gradient of its own."""
    model = nn.Linear(1, 1, bias=False)
    parts = split(model, "")
    beginning = Beginning.of(vector(1, 3), vector(1), NOTHING, shared=1, controlled=True)
    beginning.load(parts)
    drift = beginning.drift(parts, 0.5)
    assert drift is not None
    for expected in (4.0, 8.0):
        drift()
        assert model.weight.grad is not None
        assert model.weight.grad.item() == expected


def test_vectors_of_other_lengths_are_refused() -> None:
    """A message of another model, a file of another run."""
    with pytest.raises(MessageError, match=r"must have shape \(2,\), got \(3,\)"):
        Beginning.of(vector(1, 2, 3), NOTHING, NOTHING, shared=1, controlled=True)
    with pytest.raises(StateError, match="expected 2 numbers to be kept"):
        Beginning.of(vector(1, 2), vector(1), vector(5), shared=1, controlled=True)
