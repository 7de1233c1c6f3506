"""What may leave a client: the difference to the global parameters, clipped or already noised."""

import numpy as np

from shared.dp.adaptive_clipping import ABOVE, BELOW
from shared.dp.clipping import clip
from shared.dp.mechanisms import CLIENT_LEVEL, ClientPrivacy, Mechanism
from shared.errors import ProtocolError
from shared.parameters import FlatVector


def outgoing(
    local: FlatVector,
    received: FlatVector,
    mechanism: Mechanism,
    clipping_norm: float | None = None,
) -> FlatVector:
    """The update to send: local - received, under client-level privacy clipped to C.

    Args:
        local: Parameters after training, shape (d,), float32.
        received: Global parameters, shape (d,), float32.
        mechanism: What protects the update.
        clipping_norm: C of this round; None: the mechanism's.

    Returns:
        Shape (d,), float32, finite; with an adaptive clip one number more: ½ if the update was
        within C as it is, else -½.

    Raises:
        ProtocolError: the update is not finite and is not clipped. At record level that tells
            nothing about a record: the update is a function of what was released with noise.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # looked at below
        update = local - received
    if isinstance(mechanism, CLIENT_LEVEL):
        # Guarantee: ‖update‖₂ ≤ C but for rounding to float32; the server clips once more, in
        # double precision, before it adds noise.
        norm = mechanism.clipping_norm if clipping_norm is None else clipping_norm
        clipped = clip(update, norm).astype(np.float32)
        if isinstance(mechanism, ClientPrivacy) and mechanism.adaptive:
            with np.errstate(over="ignore", invalid="ignore"):  # infinity and NaN are above
                within = float(np.linalg.norm(update.astype(np.float64))) <= norm
            return np.append(clipped, np.float32(BELOW if within else ABOVE))
        return clipped
    if not np.isfinite(update).all():
        raise ProtocolError("training diverged: expected a finite update, got NaN or infinity")
    return update
