"""Where the witness of a simulation takes part in a sum whose noise is shared.

What it adds goes through rotation, scale, rounding, ring and masks, and meets the noise of the
clients alone. Client level: a unit is a whole vector, so each addition is one more member of the
sum, rounded by itself, without a share of the noise; its integers come with those of a client.
Record level: a unit is a part of a client's vector, and is added to it before the cut. Nobody
installs a witness in deployment (docs/adr/0013), and without one nothing here does anything.
"""

import math
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from shared.dp.clipping import clip
from shared.dp.randomness import RandomStream
from shared.dp.witness import Contribution, Place, SumWitness, installed
from shared.secagg.encoding import Encoding
from shared.secagg.quantization import Vector
from shared.secagg.ring import Integers

_ROUNDED = 0.25  # variance that rounding one number has at the most


def encode_witnessed(
    encoding: Encoding,
    vector: Vector,
    context: bytes,
    rounding: RandomStream,
    noise: RandomStream,
    *,
    place: Place | None,
) -> Integers:
    """`encoding.encode` of one client's vector, with what a witness adds.

    Args:
        encoding: As the plan has it.
        vector: As `encode` takes it, like the next three.
        context: Likewise.
        rounding: Likewise; members that a witness adds go on with it.
        noise: Likewise.
        place: Where in the run; None: a sum that no witness takes part in.
    """
    witness = installed()
    if not isinstance(witness, SumWitness) or place is None or not encoding.noise_multiplier:
        return encoding.encode(vector, context, rounding, noise)
    witness.told(place, clip(vector, encoding.reach) / encoding.unit_bound)
    added = witness.contribution(place, encoding.dimension)
    if added is None:
        return encoding.encode(vector, context, rounding, noise)
    if not encoding.whole:
        moved = vector.copy()
        moved[added.indices] += encoding.unit_bound * added.values
        return encoding.encode(moved, context, rounding, noise)
    own = encoding.encode(vector, context, rounding, noise)
    return own + _members(encoding, added, context, rounding)


def show_sum(encoding: Encoding, total: Vector, clients: Collection[str], *, place: Place) -> None:
    """Let a witness see the sum of `clients` that was unmasked and decoded."""
    witness = installed()
    if not isinstance(witness, SumWitness) or not encoding.noise_multiplier:
        return
    stddev = math.sqrt(len(clients) * (encoding.share_variance + _ROUNDED)) / encoding.scale
    unit = encoding.unit_bound
    witness.saw_sum(place, clients, total / unit, stddev / unit)


def _members(
    encoding: Encoding, added: Contribution, context: bytes, rounding: RandomStream
) -> Integers:
    """The sum of the encodings of all that is added, each as a client's whole vector."""
    # Guarantee: a share of noise would hide a canary better than the claim needs.
    bare = replace(encoding, noise_multiplier=0.0)
    total: Integers = np.zeros(encoding.length, dtype=np.int64)
    for index, value in zip(added.indices, added.values, strict=True):
        if value:
            member = np.zeros(encoding.dimension)
            member[index] = encoding.unit_bound * value
            total += bare.encode(member, context, rounding, rounding)
    return total
