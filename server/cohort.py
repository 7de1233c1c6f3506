"""Who is asked in a round: a truncated Poisson sample of the roster, or each once in b rounds."""

import hashlib
from collections.abc import Sequence

from shared.dp.mechanisms import CorrelatedPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import Randomness
from shared.dp.sampling import truncated_poisson_sample


def draw_cohort(
    places: Sequence[str],
    plan: PrivacyPlan,
    randomness: Randomness,
    *,
    round_number: int,
    attempt: int,
    purpose: str = "cohort",
) -> tuple[str, ...]:
    """Each client independently with the public probability; at most `plan.cap`; names ascending.

    With correlated noise each client once in b rounds, in an order that anybody can work out.

    May be empty. Who is online, or answered before, changes nothing: availability would make the
    sampling another one than the one that is accounted. So the draw is over the whole population;
    a place that nobody has taken yet may be drawn, and is as a client that was drawn and lost.

    Args:
        places: Names of those who have enrolled, by their place in the population.
        plan: Of the run.
        randomness: Likewise.
        round_number: 1-based.
        attempt: 1-based.
        purpose: Of the draw.
    """
    if isinstance(plan.mechanism, CorrelatedPrivacy):
        return _rotated(places, plan, round_number, plan.mechanism.min_separation)
    # Secrecy: under client-level privacy the draw stays on the server; the amplification that is
    # claimed against other clients rests on it.
    stream = randomness.stream(purpose, round_number, attempt)
    drawn = truncated_poisson_sample(
        plan.population, plan.cohort_sample_rate, plan.cap, stream=stream
    )
    taken = drawn[drawn < len(places)].tolist()
    return tuple(sorted(places[index] for index in taken))


def _rotated(
    client_ids: Sequence[str], plan: PrivacyPlan, round_number: int, separation: int
) -> tuple[str, ...]:
    # No secret: nothing is amplified. The same after a resume, without any state.
    digest = plan.digest()
    order = sorted(
        client_ids, key=lambda client: hashlib.sha256(f"{digest}:{client}".encode()).digest()
    )
    return tuple(sorted(order[(round_number - 1) % separation :: separation]))
