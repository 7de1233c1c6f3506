"""Who is asked in a round: a truncated Poisson sample of the roster."""

from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import Randomness
from shared.dp.sampling import truncated_poisson_sample


def draw_cohort(
    client_ids: tuple[str, ...],
    plan: PrivacyPlan,
    randomness: Randomness,
    *,
    round_number: int,
    attempt: int,
    purpose: str = "cohort",
) -> tuple[str, ...]:
    """Each client independently with the public probability; at most `plan.cap`; in order.

    May be empty. Who is online, or answered before, changes nothing: availability would make the
    sampling another one than the one that is accounted.
    """
    # Secrecy: under client-level privacy the draw stays on the server; the amplification that is
    # claimed against other clients rests on it.
    stream = randomness.stream(purpose, round_number, attempt)
    drawn = truncated_poisson_sample(
        len(client_ids), plan.cohort_sample_rate, plan.cap, stream=stream
    )
    return tuple(client_ids[index] for index in drawn)
