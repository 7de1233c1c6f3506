"""What may leave a client: the difference to the global parameters, clipped or already noised.

Nothing here trains or knows a framework: the site's guard applies it to what a worker computed.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.compression import pack
from shared.dp.adaptive_clipping import ABOVE, BELOW
from shared.dp.clipping import Vector, clip_single
from shared.dp.mechanisms import CLIENT_LEVEL, ClientPrivacy, Mechanism, RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.queries import SumQuery, bounded, mean_row, noisy_sum
from shared.dp.randomness import RandomStream
from shared.dp.update_plan import NONE
from shared.errors import ProtocolError
from shared.vectors import FlatVector


def difference(local: FlatVector, received: FlatVector) -> FlatVector:
    """local - received, shape (d,), float32; what overflows is infinite, for `leaving` to see."""
    with np.errstate(over="ignore", invalid="ignore"):
        moved: FlatVector = local - received
    return moved


def leaving(
    update: FlatVector, mechanism: Mechanism, clipping_norm: float | None = None
) -> FlatVector:
    """The update to send: under client-level privacy clipped to C, else as it is.

    Args:
        update: local - received, shape (d,), float32.
        mechanism: What protects the update.
        clipping_norm: C of this round; None: the mechanism's.

    Returns:
        Shape (d,), float32, finite; with an adaptive clip one number more: ½ if the update was
        within C as it is, else -½.

    Raises:
        ProtocolError: the update is not finite and is not clipped. At record level that tells
            nothing about a record: the update is a function of what was released with noise.
    """
    if isinstance(mechanism, CLIENT_LEVEL):
        # Guarantee: ‖update‖₂ ≤ C but for rounding to float32; the server clips once more, in
        # double precision, before it adds noise.
        norm = mechanism.clipping_norm if clipping_norm is None else clipping_norm
        clipped = clip_single(update, norm)
        if isinstance(mechanism, ClientPrivacy) and mechanism.adaptive:
            with np.errstate(over="ignore", invalid="ignore"):  # infinity and NaN are above
                within = float(np.linalg.norm(update.astype(np.float64))) <= norm
            return np.append(clipped, np.float32(BELOW if within else ABOVE))
        return clipped
    if not np.isfinite(update).all():
        raise ProtocolError("training diverged: expected a finite update, got NaN or infinity")
    return update


def outgoing(
    local: FlatVector,
    received: FlatVector,
    mechanism: Mechanism,
    clipping_norm: float | None = None,
) -> FlatVector:
    """`leaving` of the difference between `local` and `received`, shape (d,) each, float32."""
    return leaving(difference(local, received), mechanism, clipping_norm)


def answer(
    rows: NDArray[np.float64], plan: PrivacyPlan, query: SumQuery, stream: RandomStream
) -> FlatVector | Vector:
    """What leaves the site: record level Σ rows + noise; client level the mean row, bounded.

    Args:
        rows: One for each record, shape (n, width).
        plan: Which unit is protected, and so who adds the noise.
        query: Width and noise.
        stream: Noise of this answer alone.

    Returns:
        Shape (width,), float32. With distributed noise at record level, float64: Σ rows alone.
    """
    if isinstance(plan.mechanism, RecordPrivacy):
        if plan.distributed:
            # Secrecy: no noise yet; only `Encoding.encode` and a mask may let it out.
            summed: Vector = bounded(rows).sum(axis=0, dtype=np.float64)
            return summed
        return noisy_sum(rows, query, stream=stream).astype(np.float32)
    # Secrecy: at client level the server holds this in clear, as it does the clipped update,
    # unless it is masked.
    return mean_row(rows).astype(np.float32)


def in_form(update: FlatVector, plan: PrivacyPlan) -> dict[str, Any]:
    """`update` and `packed` of a reply: the vector as it is, or packed where the plan says so."""
    kind = NONE if plan.update is None else plan.update.compression
    if kind == NONE:
        return {"update": update}
    return {"update": update[:0], "packed": pack(update, kind)}
