"""The sum of a round: bounded, noised where promised, divided by a constant, in one order."""

import math
import mmap
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from server import aggregation
from server.aggregation import RoundSum
from shared.dp.mechanisms import CorrelatedPrivacy
from shared.dp.noise import gaussian_noise
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import RandomStream, SeededRandomness
from shared.errors import PrivacyError, ProtocolError
from shared.memory_use import Lone
from shared.messages import TrainReply
from shared.parameters import FlatVector
from tests.server.fake_grid import vector
from tests.server.toy import plan
from tests.significance import NOISE_SAMPLES, is_normal

Vector = NDArray[np.float64]
CLIENT = plan({"privacy.clipping_norm": 2.0, "privacy.noise_multiplier": 1.5})
RECORD = plan({"privacy.unit": "record", "training.sample_rate": 1.0})
NONE = plan({"privacy.unit": "none"})
floats32 = st.floats(width=32)


class NoNoise(RandomStream):
    """Lets a test see the sum before the noise."""

    def __init__(self) -> None:
        super().__init__(bytes(32))

    def gaussian(self, count: int) -> Vector:
        """Nothing."""
        return np.zeros(count)


def round_sum(promise: PrivacyPlan, *, cohort: int = 3, dimension: int = 2) -> RoundSum:
    """Round 7, attempt 2."""
    return RoundSum(promise, dimension, cohort_size=cohort, round_number=7, attempt=2)


def reply(update: FlatVector, promise: PrivacyPlan, *, attempt: int = 2) -> TrainReply:
    """An answer to it."""
    return TrainReply(round_number=7, attempt=attempt, plan_digest=promise.digest(), update=update)


def total(promise: PrivacyPlan, updates: dict[int, FlatVector]) -> Vector:
    """Sum before the noise, of updates that arrive in the order of the dictionary."""
    found = round_sum(promise)
    for position, update in updates.items():
        found.add(position, reply(update, promise))
    return found.mean(NoNoise()) * promise.denominator


@given(st.permutations(range(5)), st.sets(st.integers(0, 4)))
def test_the_sum_is_the_same_bit_for_bit_in_whatever_order_replies_arrive(
    order: list[int], lost: set[int]
) -> None:
    """Floating-point addition is not associative; two transports must agree all the same."""
    values = [vector(10.0 ** (3 * k), -0.1 * 7.0**k) for k in range(5)]
    sums = []
    for arrival in (order, sorted(order)):
        found = round_sum(NONE, cohort=5)
        for position in arrival:
            if position in lost:
                found.give_up(position)
            else:
                found.add(position, reply(values[position], NONE))
        sums.append(found.mean(NoNoise()).tobytes())
    assert sums[0] == sums[1]


def test_an_update_is_kept_only_until_those_before_it_are_resolved() -> None:
    """Memory holds what came early, and nothing else; of two updates it never holds one."""
    found = round_sum(NONE, cohort=4)
    found.add(2, reply(vector(1, 1), NONE))
    assert sorted(found._early) == [2]
    found.add(1, reply(vector(1, 1), NONE))
    assert sorted(found._early) == [2]
    found.give_up(0)
    assert not found._early
    found.add(3, reply(vector(1, 1), NONE))
    assert not found._early


@given(st.permutations(range(4)), st.sets(st.integers(0, 3)), st.sampled_from([CLIENT, NONE]))
def test_the_first_two_of_a_large_model_are_added_together(
    order: list[int], lost: set[int], promise: PrivacyPlan
) -> None:
    """The sum is that of a small one, bit for bit; one alone waits, and is counted in the end."""
    values = [vector(0.1 * 7.0**k, -0.3 * 11.0**k) for k in range(4)]
    sums = []
    for large in (1, 3):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(aggregation, "_LARGE", large)
            found = round_sum(promise, cohort=4)
            for position in order:
                if position in lost:
                    found.give_up(position)
                else:
                    found.add(position, reply(values[position], promise))
            sums.append(found.mean(NoNoise()).tobytes())
    assert sums[0] == sums[1]


def test_one_large_update_is_not_widened_until_the_second_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sum has no numbers yet; of three it waits for none after the second."""
    monkeypatch.setattr(aggregation, "_LARGE", 2)
    found = round_sum(NONE, cohort=3)
    found.add(1, reply(vector(1, 2), NONE))
    assert sorted(found._early) == [1]
    assert not found._sum.any()
    found.add(0, reply(vector(1, 2), NONE))
    assert not found._early
    found.add(2, reply(vector(1, 2), NONE))
    assert found.mean(NoNoise()).tolist() == [1.0, 2.0]


def test_what_is_added_of_a_large_update_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it but the pages at its ends, where it is nobody else's; the sum is right."""
    monkeypatch.setattr(aggregation, "_LARGE", 1)
    length = 3 << 20
    content = [Lone(np.full(length, value, dtype="<f4").tobytes()) for value in (1, 2)]
    found = round_sum(NONE, dimension=length, cohort=2)
    for position, each in enumerate(content):
        update: FlatVector = np.frombuffer(each, dtype="<f4")
        found.add(position, reply(update, NONE))
    left = [int(np.count_nonzero(np.frombuffer(each, dtype="<f4"))) for each in content]
    assert max(left) <= 6 * mmap.PAGESIZE // 4
    assert (found.mean(NoNoise()) == 1.0).all()


@pytest.mark.parametrize("promise", [CLIENT, RECORD, NONE])
@pytest.mark.parametrize("answers", [0, 1, 3])
def test_the_divisor_is_the_plans_constant_whoever_answers(
    promise: PrivacyPlan, answers: int
) -> None:
    """q·N = 3; dividing by the answers would change the scale of the noise with them."""
    found = round_sum(promise)
    for position in range(answers):
        found.add(position, reply(vector(0.3, 0), promise))
    assert found.survivors == answers
    assert found.mean(NoNoise()).tolist() == pytest.approx([0.1 * answers, 0])


def test_the_divisor_is_the_expected_cohort_when_clients_are_sampled() -> None:
    """Not the number of those drawn."""
    sampled = plan({"cohort.sample_rate": 0.5})
    found = round_sum(sampled, cohort=1)
    found.add(0, reply(vector(0.3, 0), sampled))
    assert found.mean(NoNoise())[0] == pytest.approx(0.3 / 1.5)


@pytest.mark.parametrize("promise", [CLIENT, RECORD, NONE])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"round_number": 6}, r"\(7, 2\), got \(6, 2\)"),
        ({"attempt": 1}, r"\(7, 2\), got \(7, 1\)"),
        ({"plan_digest": "0" * 64}, "got 000000000000$"),
        ({"update": vector(1.0)}, r"shape \(2,\), got \(1,\)"),
        ({"update": vector(1.0, 2.0, 3.0)}, r"shape \(2,\), got \(3,\)"),
    ],
)
def test_an_answer_to_something_else_is_refused_and_changes_nothing(
    promise: PrivacyPlan, wrong: dict[str, object], message: str
) -> None:
    """Another round, attempt, plan or model; the client may then be given up."""
    content = {
        "round_number": 7,
        "attempt": 2,
        "plan_digest": promise.digest(),
        "update": vector(0.5, 0.5),
    }
    found = round_sum(promise)
    with pytest.raises(ProtocolError, match=message):
        found.add(0, TrainReply(**(content | wrong)))  # type: ignore[arg-type]
    assert found.survivors == 0
    found.give_up(0)
    assert not found.mean(NoNoise()).any()


@pytest.mark.parametrize("promise", [RECORD, NONE])
@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused_where_no_clip_follows(
    promise: PrivacyPlan, poison: float
) -> None:
    """One number would make the whole model NaN."""
    with pytest.raises(ProtocolError, match="finite"):
        round_sum(promise).add(0, reply(vector(0.0, poison), promise))


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_what_is_not_finite_counts_as_zero_at_client_level(poison: float) -> None:
    """It took part; leaving it out would be another sum than the one accounted."""
    found = round_sum(CLIENT)
    found.add(0, reply(vector(1.0, poison), CLIENT))
    found.add(1, reply(vector(0.5, 0.5), CLIENT))
    assert found.survivors == 2
    assert found.mean(NoNoise()).tolist() == pytest.approx([0.5 / 3, 0.5 / 3])


@given(st.lists(floats32, min_size=2, max_size=2))
def test_one_client_moves_the_sum_by_at_most_the_clipping_norm(exploding: list[float]) -> None:
    """Zero-out sensitivity is C, whatever a client sends: the server clips again."""
    others = {0: vector(0.3, -0.4), 2: vector(1.0, 1.0)}
    with_it = total(CLIENT, others | {1: vector(*exploding)})
    without = total(CLIENT, others | {1: vector(0, 0)})
    assert np.linalg.norm(with_it - without) <= 2.0 * (1 + 1e-12)


def unclipped(whole: Vector, updates: list[FlatVector], norm: float, used: object) -> None:
    """Not what its namesake does."""
    del norm, used
    for update in updates:
        whole += update


def test_without_the_servers_clip_one_client_moves_the_sum_by_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted bug: the bound above comes from the clip in the server, and from nothing else."""
    monkeypatch.setattr(aggregation, "add_clipped", unclipped)
    assert np.linalg.norm(total(CLIENT, {0: vector(30.0, 40.0)})) > 2.0


def noise_of_a_round(answers: int = 2) -> Vector:
    """What is added to the sum of a round, over and above the updates."""
    found = round_sum(CLIENT, dimension=NOISE_SAMPLES)
    update = np.full(NOISE_SAMPLES, 1e-3, dtype=np.float32)
    for position in range(answers):
        found.add(position, reply(update, CLIENT))
    stream = SeededRandomness(17).stream("server_noise", 7, 2)
    return found.mean(stream) * CLIENT.denominator - answers * update.astype(np.float64)


@pytest.mark.statistical
@pytest.mark.parametrize("answers", [0, 2, 3])
def test_the_noise_on_the_sum_has_the_promised_standard_deviation(answers: int) -> None:
    """z·C = 3, however many answered."""
    assert is_normal(noise_of_a_round(answers), 3.0)


@pytest.mark.statistical
@pytest.mark.parametrize(
    "planted",
    [
        lambda stddev: stddev**2,
        lambda stddev: stddev / np.sqrt(3.0),
        lambda stddev: stddev / 2.0,
        lambda stddev: stddev * 0.95,
    ],
    ids=["variance", "per client", "without the norm", "five percent less"],
)
def test_noise_of_another_size_is_found_out(
    planted: Callable[[float], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted bugs, each rejected by the assertion above."""

    def wrong(count: int, stddev: float, *, stream: RandomStream) -> Vector:
        return gaussian_noise(count, planted(stddev), stream=stream)

    monkeypatch.setattr(aggregation, "gaussian_noise", wrong)
    assert not is_normal(noise_of_a_round(), 3.0)


@pytest.mark.parametrize("promise", [RECORD, NONE])
def test_the_server_adds_no_noise_where_it_does_not_place_it(promise: PrivacyPlan) -> None:
    """At record level the noise is in the updates already."""
    found = round_sum(promise)
    found.add(0, reply(vector(0.3, 0.6), promise))
    stream = SeededRandomness(17).stream("server_noise", 7, 2)
    assert found.mean(stream).tolist() == pytest.approx([0.1, 0.2])


ADAPTIVE = plan(
    {
        "population.size": 100,
        "privacy.delta": 1e-3,
        "privacy.clipping": "adaptive",
        "privacy.clipping_norm": 1.0,
        "privacy.count_noise_multiplier": 1e3,
        "privacy.clipping_learning_rate": 1.0,
    }
)


@pytest.mark.parametrize(("indicator", "grows"), [(0.5, False), (-0.5, True), (math.nan, True)])
def test_an_adaptive_clip_moves_by_the_noisy_count(indicator: float, grows: bool) -> None:
    """All unclipped: smaller; all clipped: larger; what is no number counts as clipped."""
    found = RoundSum(ADAPTIVE, 2, cohort_size=100, round_number=7, attempt=2, clipping_norm=3.0)
    for place in range(100):
        found.add(place, reply(np.array([9.0, 0.0, indicator], np.float32), ADAPTIVE))
    moved = found.next_clipping_norm(NoNoise())
    assert (moved > 3.0) is grows
    assert moved != 3.0
    # Clipped to this round's norm, not to the plan's first.
    assert found.mean(NoNoise()) == pytest.approx([3.0, 0.0])


def test_one_client_moves_the_count_by_at_most_one_half() -> None:
    """Whatever it says of itself."""
    moved = []
    for indicator in (0.0, 1e30):
        found = RoundSum(ADAPTIVE, 2, cohort_size=1, round_number=7, attempt=2, clipping_norm=1.0)
        found.add(0, reply(np.array([0.0, 0.0, indicator], np.float32), ADAPTIVE))
        moved.append(found.next_clipping_norm(NoNoise()))
    assert math.log(moved[0] / moved[1]) == pytest.approx(0.5 / 100)


def test_a_fixed_clip_does_not_move() -> None:
    """It is the plan's for ever."""
    promise = plan({"population.size": 3})
    assert round_sum(promise).next_clipping_norm(NoNoise()) == promise.clipping_norm


def test_correlated_noise_is_never_forgotten() -> None:
    """A sum without the run's noise is refused; with it the rows follow one another."""
    promise = plan(
        {
            "population.size": 4,
            "privacy.correlation": "banded",
            "privacy.bands": 2,
            "privacy.min_separation": 2,
        }
    )
    assert isinstance(promise.mechanism, CorrelatedPrivacy)
    found = round_sum(promise, cohort=2)
    with pytest.raises(PrivacyError, match="correlated"):
        found.mean(SeededRandomness(1).stream("noise"))
    noise = promise.mechanism.noise(2)
    first = found.mean(SeededRandomness(1).stream("noise"), noise) * promise.denominator
    expected = promise.mechanism.noise(2).next(SeededRandomness(1).stream("noise"))
    assert first == pytest.approx(expected)
    assert np.abs(first).max() > 0
