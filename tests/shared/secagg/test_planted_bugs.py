"""Three ways to get distributed noise wrong, each found by what it does.

Noise measured by s·C, though rounding moves vectors further. One rotation for several rounds, so
that who knows it can aim at one number. A ring that is too small, in which sums wrap. Two more are
planted elsewhere: a share by n in tests/shared/dp/test_concentrated.py, a rounded float as noise in
tests/shared/dp/test_integer_noise.py.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from shared.dp.concentrated import noise_multiplier_of
from shared.dp.randomness import RandomStream
from shared.errors import ProtocolError
from shared.messages import TrainInstruction
from shared.secagg.encoding import Encoding, update_encoding
from shared.secagg.quantization import Quantizer, Vector
from shared.secagg.ring import from_ring
from tests.shared.secagg.test_encoding import PLANS, fresh
from tests.significance import has_rate

CLIENTS, D, TIMES = 20, 4096, 30
CLIENT, RECORD = "clients, shared noise", "records, shared noise"
# So few units that what rounding adds is a few percent of a unit.
COARSE = {CLIENT: 128.0, RECORD: 4096.0}
SUMMED = (CLIENT, "clients, skellam", RECORD, "records, own noise", "none")


def direction(seed: int) -> Vector:
    """Of norm 1."""
    drawn = np.random.default_rng(seed).standard_normal(D)
    return drawn / float(np.linalg.norm(drawn))


def coarse(name: str) -> Encoding:
    """Of few units."""
    return replace(update_encoding(PLANS[name], D, CLIENTS), scale=COARSE[name])


def furthest(encoding: Encoding) -> float:
    """Largest norm, in units, by which one unit was seen to move a site's whole numbers."""
    seen = []
    for seed in range(TIMES):
        quantizer, unit = encoding.quantizer(bytes([seed]) * 32), direction(seed)
        unit *= encoding.unit_bound
        if encoding.whole:
            moved = quantizer.quantize(unit, fresh())
        else:
            site, key = direction(seed + TIMES) * encoding.signal_bound / 2.0, bytes([seed]) * 32
            before, after = (quantizer.rounded(v, RandomStream(key)) for v in (site, site + unit))
            moved = after - before
        seen.append(float(np.linalg.norm(moved)))
    return max(seen)


def carries_the_plans_noise(encoding: Encoding, moved: float) -> bool:
    """Whether the shares of the fewest honest survivors hide a unit that moves a sum so far."""
    reached = noise_multiplier_of(
        family=encoding.family,
        share_variance=encoding.share_variance,
        shares=encoding.honest,
        sensitivity=moved,
        dimension=encoding.length,
    )
    return reached >= encoding.noise_multiplier


@pytest.mark.parametrize("name", COARSE)
def test_the_noise_hides_what_rounding_makes_of_a_unit(name: str) -> None:
    """Measured on neighbours; and they are indeed further apart than s·C."""
    encoding = coarse(name)
    moved = furthest(encoding)
    assert moved > 1.03 * encoding.scale * encoding.unit_bound
    assert moved <= encoding.sensitivity
    assert carries_the_plans_noise(encoding, moved)


@pytest.mark.parametrize("name", COARSE)
def test_noise_measured_by_the_clip_alone_is_found(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: `sensitivity` without what rounding adds."""
    moved = furthest(coarse(name))
    bare = property(lambda encoding: encoding.scale * encoding.unit_bound)
    monkeypatch.setattr(Encoding, "sensitivity", bare)
    assert not carries_the_plans_noise(coarse(name), moved)


def test_a_bound_of_the_clip_alone_on_roundings_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bug one layer below: nothing leaves a client, or neighbours are too far apart."""
    whole, part = coarse(CLIENT), coarse(RECORD)
    bare = property(lambda quantizer: quantizer.scale * quantizer.clipping_norm)
    monkeypatch.setattr(Quantizer, "sensitivity", bare)
    monkeypatch.setattr(Quantizer, "moved", lambda quantizer, norm: quantizer.scale * norm)
    with pytest.raises(ProtocolError, match="within the sensitivity"):
        furthest(whole)
    assert furthest(part) > part.sensitivity
    assert not carries_the_plans_noise(part, furthest(part))


def attempts() -> list[TrainInstruction]:
    """Two at each of four rounds, with the same model in all."""
    return [
        TrainInstruction(
            round_number=round_number, attempt=attempt, plan="{}", plan_digest="ab",
            clipping_norm=0.5, parameters=np.zeros(D, dtype=np.float32),
        )
        for round_number in range(1, 5)
        for attempt in (1, 2)
    ]  # fmt: skip


def turned_anew(encoding: Encoding) -> bool:
    """Whether the signs of every two attempts may be independent: alike in half of the places."""
    signs = [encoding.quantizer(one.digest())._signs() for one in attempts()]
    alike = [int((one == other).sum()) for one, other in combinations(signs, 2)]
    return all(has_rate(count, encoding.length, 0.5) for count in alike)


def peak_of_an_aimed_vector(encoding: Encoding) -> float:
    """Largest share of its norm that one number holds of a vector aimed in the round before."""
    first, second = (encoding.quantizer(attempts()[place].digest()) for place in (0, 2))
    spike = np.zeros(encoding.length, dtype=np.int64)
    spike[7] = int(encoding.scale * encoding.reach)
    whole = second.rounded(first.restore(spike), fresh())
    return float(np.abs(whole).max()) / float(spike[7])


def forgets_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """One rotation for all rounds."""
    real = Encoding.quantizer
    monkeypatch.setattr(Encoding, "quantizer", lambda encoding, _: real(encoding, b"always"))


def forgets_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """One rotation for all attempts at a round."""
    real = TrainInstruction.digest
    monkeypatch.setattr(TrainInstruction, "digest", lambda one: real(replace(one, attempt=1)))


def test_a_rotation_is_never_used_twice() -> None:
    """Not even for a second attempt; so a vector aimed at one of them is flat in the next."""
    encoding = update_encoding(PLANS[RECORD], D, CLIENTS)
    assert turned_anew(encoding)
    assert peak_of_an_aimed_vector(encoding) < 0.15


@pytest.mark.parametrize("plant", [forgets_the_context, forgets_the_attempt])
def test_a_rotation_used_twice_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what it would allow is seen: the whole norm in one number."""
    plant(monkeypatch)
    encoding = update_encoding(PLANS[RECORD], D, CLIENTS)
    assert not turned_anew(encoding)
    aimed = peak_of_an_aimed_vector(encoding)
    assert (aimed > 0.99) == (plant is forgets_the_context)


def wrapped(encoding: Encoding) -> float:
    """Share of the numbers of sums of the longest vectors, all alike, that the ring changes."""
    changed = 0
    for seed in range(TIMES):
        longest, context = direction(seed) * encoding.signal_bound, bytes([seed]) * 32
        total = sum(
            (encoding.encode(longest, context, fresh(), fresh()) for _ in range(CLIENTS)),
            start=np.zeros(encoding.length, dtype=np.int64),
        )
        residues = (total & ((1 << encoding.bits) - 1)).astype(np.uint32)
        changed += int((from_ring(residues, encoding.bits) != total).sum())
    return changed / (TIMES * encoding.length)


@pytest.mark.no_cover
@pytest.mark.parametrize("name", SUMMED)
def test_no_number_wraps_in_the_chosen_ring(name: str) -> None:
    """Of 120,000 as large as they can be, where one bit fewer is refused: the bound is near."""
    encoding = update_encoding(PLANS[name], D, CLIENTS)
    assert encoding.fits
    assert not replace(encoding, bits=encoding.bits - 1).fits
    assert wrapped(encoding) == 0.0


@pytest.mark.no_cover
@pytest.mark.parametrize("name", SUMMED)
def test_a_ring_that_is_too_small_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bits fewer; and what a check would choose that believes in two bits more."""
    encoding = update_encoding(PLANS[name], D, CLIENTS)
    assert wrapped(replace(encoding, bits=encoding.bits - 2)) > 0.005
    real = Encoding.fits
    generous = property(lambda one: real.__get__(replace(one, bits=one.bits + 2)))
    monkeypatch.setattr(Encoding, "fits", generous)
    assert wrapped(update_encoding.__wrapped__(PLANS[name], D, CLIENTS)) > 0.005
