"""What may leave a client: the difference to the global parameters, clipped or already noised."""

import numpy as np

from shared.dp.clipping import clip
from shared.dp.mechanisms import ClientPrivacy, Mechanism
from shared.errors import ProtocolError
from shared.parameters import FlatVector


def outgoing(local: FlatVector, received: FlatVector, mechanism: Mechanism) -> FlatVector:
    """The update to send: local - received, under client-level privacy clipped to C.

    Args:
        local: Parameters after training, shape (d,), float32.
        received: Global parameters, shape (d,), float32.
        mechanism: What protects the update.

    Returns:
        Shape (d,), float32, finite.

    Raises:
        ProtocolError: the update is not finite and is not clipped. At record level that tells
            nothing about a record: the update is a function of what was released with noise.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # looked at below
        update = local - received
    if isinstance(mechanism, ClientPrivacy):
        # Guarantee: ‖update‖₂ ≤ C but for rounding to float32; the server clips once more, in
        # double precision, before it adds noise.
        return clip(update, mechanism.clipping_norm).astype(np.float32)
    if not np.isfinite(update).all():
        raise ProtocolError("training diverged: expected a finite update, got NaN or infinity")
    return update
