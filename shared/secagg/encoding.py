"""How one vector of a round becomes elements of the ring, with this client's share of the noise.

Bits, scale and share follow from the plan, the vector's length and the size of the cohort: all
public, so that every party computes them alike and none is told them. The scale is a short binary
fraction, the finest at which a sum wraps with probability 1e-9 at most, by sub-Gaussian tails:
after the rotation each number of a fixed vector of norm B has variance proxy B²/d.

Source: Kairouz, Liu & Steinke 2021 (arXiv:2102.06387), sections 4 and 5. We deviate: no modular
clipping that trades wraparound for resolution, but a bound on it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from shared.dp.clipping import clip
from shared.dp.concentrated import share_variance_for
from shared.dp.integer_noise import WIDEST_GAUSSIAN, WIDEST_SKELLAM
from shared.dp.mechanisms import ClientPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.queries import SumQuery
from shared.dp.randomness import RandomStream
from shared.errors import ConfigurationError
from shared.secagg.parameters import AggregationParameters, parameters_for
from shared.secagg.plan import AggregationPlan
from shared.secagg.quantization import Quantizer, Vector
from shared.secagg.ring import BITS, Integers
from shared.secagg.shared_noise import add_share
from shared.secagg.transcript import digest

WRAPAROUND = 1e-9  # probability that any number of a sum wraps
_INFLATION = 0.01  # of the noise, by rounding, that the fewest bits may cost
_OWN_TAIL = 1.5  # the norm of one's own noise exceeds 1.5 times its mean only in tiny vectors
_QUERY_SPREAD = 4.0
# Of few binary digits, so that every machine finds the very same one.
_SCALES = tuple(math.ldexp(m, e) for e in range(40, -41, -1) for m in range(15, 7, -1))
_FINEST_OF_QUERIES = 2.0**12
_PLAIN_BITS = 20  # of vectors without any noise
_RECORDS = 2.0**16  # of one site in a query, as many as are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """From vectors to ring elements and back.

    Attributes:
        dimension: d.
        cohort_size: n, clients that may add up.
        bits: b.
        scale: Units that a number of 1 has.
        signal_bound: L2 norm of a vector without the client's own noise; public.
        coordinate_noise: Standard deviation of that noise in each number.
        unit_bound: L2 norm by which one unit moves a vector; 0: no noise is shared.
        whole: Whether one unit is a client's whole vector.
        rotated: Whether vectors are rotated.
        noise_multiplier: z of the shared noise of the sum.
        honest: Fewest honest survivors, who carry it together.
        family: Of the noise.
    """

    dimension: int
    cohort_size: int
    bits: int
    scale: float
    signal_bound: float
    coordinate_noise: float
    unit_bound: float
    whole: bool
    rotated: bool
    noise_multiplier: float
    honest: int
    family: str

    @property
    def reach(self) -> float:
        """L2 norm to which a vector is cut."""
        own = self.coordinate_noise * math.sqrt(self.dimension)
        spread = _OWN_TAIL if self.rotated else _QUERY_SPREAD
        return self.unit_bound if self.whole else self.signal_bound + spread * own

    @property
    def sensitivity(self) -> float:
        """Most by which one unit moves the whole numbers, in L2 and units."""
        quantizer = self.quantizer(b"\0" * 32)
        return quantizer.sensitivity if self.whole else quantizer.moved(self.unit_bound)

    @property
    def inflation(self) -> float:
        """By what share rounding makes a unit, and so the noise, larger; 0 without shared noise."""
        if not self.unit_bound:
            return 0.0
        return self.sensitivity / (self.scale * self.unit_bound) - 1.0

    @property
    def share_variance(self) -> int:
        """Variance of one client's share of the noise, in squared units; 0: it adds none."""
        if not self.unit_bound or not self.noise_multiplier:
            return 0
        return share_variance_for(
            family=self.family,
            noise_multiplier=self.noise_multiplier,
            sensitivity=self.sensitivity,
            honest=self.honest,
            dimension=self.length,
        )

    @property
    def length(self) -> int:
        """Of what is summed."""
        return self.quantizer(b"\0" * 32).padded

    def quantizer(self, context: bytes) -> Quantizer:
        """Of one attempt at one round: a rotation is never used for two."""
        return Quantizer(
            clipping_norm=self.reach,
            scale=self.scale,
            dimension=self.dimension,
            rotation=digest("rotation", context) if self.rotated else b"",
        )

    def encode(
        self, vector: Vector, context: bytes, rounding: RandomStream, noise: RandomStream
    ) -> Integers:
        """Whole numbers that may be masked, shape (length,).

        Args:
            vector: Shape (d,); cut to `reach`; what is not finite becomes zero.
            context: Digest of the instruction, which no two attempts share.
            rounding: Of this vector alone.
            noise: Likewise.
        """
        quantizer = self.quantizer(context)
        # Guarantee: a projection brings no two vectors further apart.
        bounded = clip(vector, self.reach)
        round_one = quantizer.quantize if self.whole else quantizer.rounded
        whole = round_one(bounded, rounding)
        if not self.unit_bound or not self.noise_multiplier:
            return whole
        return add_share(whole, self.share_variance, self.family, noise)

    def decode(self, total: Integers, context: bytes) -> Vector:
        """The sum of the vectors that `total` is the sum of, shape (d,)."""
        return self.quantizer(context).restore(total)

    @property
    def fits(self) -> bool:
        """Whether a sum wraps with probability WRAPAROUND at most, and its noise can be drawn."""
        n, shared = self.cohort_size, 0.0
        if self.unit_bound and self.noise_multiplier:
            share = (1.01 * self.noise_multiplier * self.sensitivity) ** 2 / self.honest + 2.0
            shared = n * share
            if share > (WIDEST_SKELLAM if self.family == "skellam" else WIDEST_GAUSSIAN):
                return False
        signal = n * self.signal_bound * self.scale
        spread = n * (self.scale * self.coordinate_noise) ** 2 + shared + n / 4.0
        if self.rotated:
            spread, signal = spread + signal**2 / self.length, 0.0
        tail = math.sqrt(2.0 * math.log(2.0 * self.length / WRAPAROUND) * spread)
        return signal + tail + 1.0 < math.ldexp(1.0, self.bits - 1)

    @property
    def costs_little(self) -> bool:
        """Whether more bits would hardly make the sum better."""
        if self.unit_bound:
            return self.inflation <= _INFLATION
        if self.coordinate_noise:
            return 0.5 / self.scale <= math.sqrt(2 * _INFLATION) * self.coordinate_noise
        return self.bits >= _PLAIN_BITS


@lru_cache(maxsize=64)
def update_encoding(plan: PrivacyPlan, dimension: int, cohort_size: int) -> Encoding:
    """Of the updates of a round whose cohort has `cohort_size` clients.

    Raises:
        ConfigurationError: no ring is large enough, or the plan has no secure aggregation.
    """
    aggregation, mechanism = _required(plan), plan.mechanism
    whole = isinstance(mechanism, ClientPrivacy)
    z = 0.0
    if plan.distributed and isinstance(mechanism, ClientPrivacy | RecordPrivacy):
        z = mechanism.noise_multiplier
    first = Encoding(
        dimension=dimension,
        cohort_size=cohort_size,
        bits=BITS[0],
        scale=1.0,
        signal_bound=aggregation.signal_bound,
        coordinate_noise=aggregation.coordinate_noise,
        # Where the server adds the noise it needs to know what rounding makes of C.
        unit_bound=plan.clipping_norm if whole else aggregation.unit_bound,
        whole=whole,
        rotated=True,
        noise_multiplier=z,
        honest=_honest(plan, cohort_size),
        family=aggregation.family,
    )
    return _chosen(first, (aggregation.bits,) if aggregation.bits else BITS)


@lru_cache(maxsize=64)
def query_encoding(plan: PrivacyPlan, query: SumQuery, cohort_size: int) -> Encoding:
    """Of the answers to a query: few numbers, in the largest ring, without a rotation.

    Raises:
        ConfigurationError: as `update_encoding`.
    """
    aggregation = _required(plan)
    whole = isinstance(plan.mechanism, ClientPrivacy)
    first = Encoding(
        dimension=query.width,
        cohort_size=cohort_size,
        bits=BITS[-1],
        scale=1.0,
        signal_bound=query.clipping_norm if whole else _RECORDS,
        coordinate_noise=0.0 if whole or plan.distributed else query.noise_stddev,
        unit_bound=query.clipping_norm if whole or plan.distributed else 0.0,
        whole=whole,
        rotated=False,
        noise_multiplier=query.noise_multiplier if plan.distributed else 0.0,
        honest=_honest(plan, cohort_size),
        family=aggregation.family,
    )
    return _chosen(first, BITS[-1:], finest=_FINEST_OF_QUERIES)


def parameters_of(plan: PrivacyPlan, cohort_size: int) -> AggregationParameters:
    """Graph, committee and thresholds of a cohort.

    Raises:
        ConfigurationError: the cohort is too small, or the plan has no secure aggregation.
    """
    wanted = _required(plan)
    fractions = (wanted.corrupt_fraction, wanted.dropped_fraction)
    return parameters_for(cohort_size, plan.population, *fractions, len(wanted.helper_names))


def _required(plan: PrivacyPlan) -> AggregationPlan:
    if plan.aggregation is None:
        raise ConfigurationError("expected a plan with secure aggregation, got one without")
    return plan.aggregation


def _honest(plan: PrivacyPlan, cohort_size: int) -> int:
    """t - c: honest survivors that there are at the least."""
    parameters = parameters_of(plan, cohort_size)
    return parameters.survivors - parameters.corrupt


def _chosen(first: Encoding, allowed: tuple[int, ...], *, finest: float = math.inf) -> Encoding:
    fitting = list(_fitting(first, allowed, finest))
    if not fitting:
        raise ConfigurationError(
            f"the sum of {first.cohort_size} vectors fits no ring of {allowed} bits; use more "
            "bits (aggregation.bits) or a smaller bound (aggregation.update_bound)"
        )
    return next((found for found in fitting if found.costs_little), fitting[-1])


def _fitting(first: Encoding, allowed: tuple[int, ...], finest: float) -> Iterator[Encoding]:
    """For each number of bits the finest scale that fits."""
    for bits in allowed:
        tried = (replace(first, bits=bits, scale=scale) for scale in _SCALES if scale <= finest)
        found = next((encoding for encoding in tried if encoding.fits), None)
        if found is not None:
            yield found
