"""What may leave a client."""

import numpy as np
import pytest

from client.update import outgoing
from shared.dp.mechanisms import ClientPrivacy, NoPrivacy, RecordPrivacy
from shared.errors import ProtocolError
from shared.parameters import FlatVector

CLIENT = ClientPrivacy(
    clipping_norm=2.0, noise_multiplier=1.0, sample_rate=1.0, population=4, cap=4
)
RECORD = RecordPrivacy(
    clipping_norm=2.0, noise_multiplier=1.0, sample_rate=0.5, steps_per_round=1, batch_size=4
)
ZERO = np.zeros(4, dtype=np.float32)
BIG = float(np.finfo(np.float32).max)


def vector(*values: float) -> FlatVector:
    """A float32 vector."""
    return np.array(values, dtype=np.float32)


@pytest.mark.parametrize("mechanism", [RECORD, NoPrivacy()])
def test_an_update_is_the_difference(mechanism: RecordPrivacy | NoPrivacy) -> None:
    """Local minus received, not clipped: at record level the noise is in it already."""
    local, received = vector(1, 2, 3, 40), vector(1, 1, 1, 1)
    update = outgoing(local, received, mechanism)
    assert update.tolist() == [0.0, 1.0, 2.0, 39.0]
    assert update.dtype == np.float32


def test_a_clients_update_is_clipped_before_it_leaves() -> None:
    """‖update‖₂ ≤ C; a short one stays as it is."""
    assert outgoing(vector(30, 40, 0, 0), ZERO, CLIENT).tolist() == pytest.approx([1.2, 1.6, 0, 0])
    assert outgoing(vector(1, 0, 0, 0), ZERO, CLIENT).tolist() == [1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_zero_or_refused(bad: float) -> None:
    """Client level: zero; otherwise a ProtocolError that holds no number of the update."""
    local = vector(1, bad, 3, 4)
    assert not outgoing(local, ZERO, CLIENT).any()
    for mechanism in (RECORD, NoPrivacy()):
        with pytest.raises(ProtocolError, match=r"^training diverged: expected a finite update"):
            outgoing(local, ZERO, mechanism)


def test_a_difference_beyond_float32_is_not_finite() -> None:
    """Two finite vectors at the two ends of the range."""
    with pytest.raises(ProtocolError):
        outgoing(vector(BIG, 0, 0, 0), vector(-BIG, 0, 0, 0), NoPrivacy())
