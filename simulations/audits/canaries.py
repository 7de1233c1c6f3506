"""A3: canaries inside one simulated run, and what their guesses prove.

Record level: every site gets canary records; client level: the federation gets canary clients.
Each is in the data with probability 1/2, drawn once for the run, takes part in a sum with the
plan's own sampling rate, and adds ±C at a coordinate of its own to the sum before the noise. The
attacker sees every noisy sum and knows everybody else's contribution, as differential privacy
allows; so what momentum or the server's optimizer do afterwards does not matter. Where all clients
are told who is asked, no draw of clients amplifies the claim, and canary clients are in every sum.
"""

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.config import RunConfig
from shared.dp.mechanisms import ClientPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import Randomness, randomness_for
from shared.dp.witness import Contribution, Place
from shared.errors import ConfigurationError
from simulations.audits.bounds import (
    LowerBound,
    Scores,
    gaussian_one_run_bound,
    steinke_bound,
    two_gaussian_estimate,
)
from simulations.audits.ideal import largest_of_sound_code

ANY, GAUSSIAN = "canaries, any mechanism", "canaries, Gaussian trade-off"
AUTOMATIC = -1
MOST, FEWEST = 2000, 20
ALPHA = 0.05
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
_ESTIMATE_SEED = 0


@dataclass(slots=True)
class Group:
    """The canaries of one sum."""

    indices: NDArray[np.int64]
    signs: NDArray[np.float64]
    included: NDArray[np.bool_]
    scores: Scores
    sums: int = 0


class Canaries:
    """A witness that puts canaries into a run and scores them.

    Args:
        config: The run's configuration; its plan must promise something.
        randomness: Where inclusion, coordinates and draws come from.
    """

    _seen = "noisy sum"
    _inserted = "after the clip, before the noise"

    def __init__(self, config: RunConfig, randomness: Randomness | None = None) -> None:
        self._plan = PrivacyPlan.from_config(config)
        mechanism = self._plan.mechanism
        if not isinstance(mechanism, RecordPrivacy | ClientPrivacy):
            raise ConfigurationError(
                f"canaries need independent noise in every sum, got {mechanism.kind!r}"
            )
        self._mechanism = mechanism
        # Guarantee: by no other draw than the one that the claim is amplified by.
        told = isinstance(mechanism, ClientPrivacy) and mechanism.cohort_is_told
        self._rate = 1.0 if told else mechanism.sample_rate
        self._sums = self._plan.population if isinstance(mechanism, RecordPrivacy) else 1
        # The noise that the sums get; with an adaptive clip the count takes its share of z.
        self._noise_multiplier = (
            mechanism.noise_multiplier
            if isinstance(mechanism, RecordPrivacy)
            else mechanism.update_noise_multiplier
        )
        self._asked = config.audit.canaries
        self._randomness = randomness or randomness_for(config.seed)
        self._groups: dict[str, Group] = {}
        self._rounds: set[int] = set()
        self.seconds = 0.0

    def contribution(self, place: Place, dimension: int) -> Contribution | None:
        """±1 for each canary that is included and drawn here, 0 for the others."""
        started = time.perf_counter()
        group = self._group(place.client_id, dimension)
        drawn = self._drawn(place, len(group.indices)) & group.included
        self.seconds += time.perf_counter() - started
        return Contribution(group.indices, group.signs * drawn) if len(drawn) else None

    def saw(self, place: Place, others: Scores, noisy: Scores) -> None:
        """Add each canary's log likelihood ratio of having been included."""
        started = time.perf_counter()
        group = self._groups[place.client_id]
        group.scores += self._gained(group.signs * (noisy - others), self._noise_multiplier)
        group.sums += 1
        self._rounds.add(place.round_number)
        self.seconds += time.perf_counter() - started

    def _drawn(self, place: Place, count: int) -> NDArray[np.bool_]:
        """Which of a sum's canaries take part in it, if they are in the data."""
        # A second attempt is a release of its own, and so has a draw of its own.
        again = (place.attempt,) if place.attempt > 1 else ()
        labels = (place.client_id, place.round_number, place.step, *again)
        stream = self._randomness.stream("canary_sampling", *labels)
        return stream.uniform(count) < self._rate

    def _gained(self, signal: Scores, noise_multiplier: float) -> Scores:
        """Log likelihood ratio of 1, if drawn, against 0 under normal noise."""
        q = self._rate
        missed = math.log1p(-q) if q < 1.0 else -math.inf
        gained: Scores = np.logaddexp(missed, math.log(q) + (signal - 0.5) / noise_multiplier**2)
        return gained

    def _group(self, client_id: str, dimension: int) -> Group:
        if client_id not in self._groups:
            count = self._count(dimension)
            stream = self._randomness.stream("canaries", client_id)
            uniform = stream.uniform(2 * count)
            self._groups[client_id] = Group(
                indices=np.sort(stream.permutation(dimension)[:count]),
                signs=np.where(uniform[:count] < 0.5, -1.0, 1.0),
                included=uniform[count:] < 0.5,
                scores=np.zeros(count),
            )
        return self._groups[client_id]

    def _count(self, dimension: int) -> int:
        """m <= 0.02 z²d leaves the model be: the canaries' norm is a tenth of the noise's."""
        sums = self._sums
        if self._asked != AUTOMATIC:
            return min(dimension, math.ceil(self._asked / sums))
        by_noise = math.floor(0.02 * self._mechanism.noise_multiplier**2 * dimension)
        count = min(by_noise, MOST // sums, dimension)
        return count if count * sums >= FEWEST else 0

    def results(self, claim: float, claim_id: str) -> list[dict[str, Any]]:
        """Two bounds and one estimate, in the form of the report's `audit[]`.

        Args:
            claim: The epsilon that was promised at the plan's delta.
            claim_id: Which claim that is.

        Returns:
            Nothing if there were too few canaries for any guess.
        """
        started = time.perf_counter()
        # In an order of their own: sites may train at the same time.
        groups = [group for _, group in sorted(self._groups.items()) if len(group.indices)]
        scores = np.concatenate([group.scores for group in groups]) if groups else np.zeros(0)
        if len(scores) < FEWEST:
            return []
        included = np.concatenate([group.included for group in groups])
        order = self._randomness.stream("canary_halves").permutation(len(scores))
        scores, included = scores[order], included[order]
        delta = self._plan.delta
        bounds = {
            ANY: one_run(scores, included, delta, gaussian=False),
            GAUSSIAN: one_run(scores, included, delta, gaussian=True),
        }
        # Guarantee: a sampled mechanism has no Gaussian trade-off, and integer noise has a bound on
        # its Rényi divergence alone: what rests on that trade-off is no bound of theirs.
        exact = self._rate == 1.0 and not self._mechanism.distributed
        shared = self._described(len(scores), claim_id)
        found = [
            shared
            | {
                "name": name,
                "kind": "lower_bound" if name == ANY or exact else "estimate",
                "guesses": bound.guesses,
                "correct": bound.correct,
                "ceiling": _ceiling(len(scores) // 2, bound, gaussian=name == GAUSSIAN),
                "result": bound.epsilon,
                "confidence": bound.confidence,
                "passed": bound.epsilon <= claim,
                "roc": _roc(scores, included),
            }
            for name, bound in bounds.items()
        ]
        found.append(shared | self._estimate(scores, included, claim))
        self.seconds += time.perf_counter() - started
        return [result | {"seconds": round(self.seconds, 4)} for result in found]

    def _estimate(
        self, scores: Scores, included: NDArray[np.bool_], claim: float
    ) -> dict[str, Any]:
        made = two_gaussian_estimate(
            scores[~included],
            scores[included],
            delta=self._plan.delta,
            generator=np.random.default_rng(_ESTIMATE_SEED),
        )
        above: dict[str, Any] = {"passed": True}
        if made.low > claim:
            largest = self._largest(included)
            above = {"passed": made.epsilon <= largest, "sound_up_to": largest}
        return {
            "name": "canaries, two normals",
            "kind": "estimate",
            "result": made.epsilon,
            "interval": [made.low, made.high],
            "confidence": None,
        } | above

    def _largest(self, included: NDArray[np.bool_]) -> float:
        """What the estimate of code that does as planned stays below."""
        generator = np.random.default_rng(_ESTIMATE_SEED)
        z = self._noise_multiplier
        return largest_of_sound_code(
            [group.sums for group in self._groups.values() if len(group.indices)],
            (int((~included).sum()), int(included.sum())),
            lambda taken: self._gained(taken + z * generator.standard_normal(len(taken)), z),
            self._rate,
            delta=self._plan.delta,
            generator=generator,
        )

    def _described(self, count: int, claim_id: str) -> dict[str, Any]:
        first, last = min(self._rounds), max(self._rounds)
        return {
            "threat_model": f"sees every {self._seen} of rounds {first} to {last} and knows "
            f"everybody else's contribution; canaries are inserted {self._inserted}",
            "unit": self._mechanism.unit,
            "canaries": count,
            "delta": self._plan.delta,
            "claim_id": claim_id,
        }


def one_run(
    scores: Scores, included: NDArray[np.bool_], delta: float, *, gaussian: bool
) -> LowerBound:
    """The bound of one run: half of the canaries choose how many to guess, the others are judged.

    Guaranteed at 1 - ALPHA, since how many is chosen does not depend on those that are judged.
    """
    half = len(scores) // 2
    share = max(
        _SHARES,
        key=lambda tried: (
            _judged(scores[:half], included[:half], tried, delta, gaussian=gaussian).epsilon
        ),
    )
    return _judged(scores[half:], included[half:], share, delta, gaussian=gaussian)


def _judged(
    scores: Scores, included: NDArray[np.bool_], share: float, delta: float, *, gaussian: bool
) -> LowerBound:
    """Guess "in" for the highest scores and "out" for the lowest, `share` of all in total."""
    side = max(1, round(share * len(scores) / 2))
    order = np.argsort(scores, kind="stable")
    correct = int(np.sum(~included[order[:side]])) + int(np.sum(included[order[-side:]]))
    bound = gaussian_one_run_bound if gaussian else steinke_bound
    return bound(len(scores), 2 * side, correct, delta=delta, alpha=ALPHA)


def _ceiling(count: int, bound: LowerBound, *, gaussian: bool) -> float:
    """What the bound would be if every guess were right."""
    rule = gaussian_one_run_bound if gaussian else steinke_bound
    return rule(count, bound.guesses, bound.guesses, delta=bound.delta, alpha=ALPHA).epsilon


def _roc(scores: Scores, included: NDArray[np.bool_]) -> list[list[float]]:
    """(false positive rate, true positive rate) at 33 thresholds."""
    thresholds = np.quantile(scores, np.linspace(1.0, 0.0, 33))
    return [
        [float(np.mean(scores[~included] > t)), float(np.mean(scores[included] > t))]
        for t in thresholds
    ]
