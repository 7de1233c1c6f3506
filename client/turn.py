"""One client's turn in one round: what its randomness is labelled with."""

from dataclasses import dataclass

from shared.dp.randomness import Randomness, RandomStream
from shared.dp.witness import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One client's turn in one round: what its randomness is labelled with."""

    randomness: Randomness
    client_id: str
    round_number: int
    attempt: int

    def stream(self, purpose: str, *labels: int) -> RandomStream:
        """The stream of this turn for one purpose."""
        return self.randomness.stream(
            purpose, self.client_id, self.round_number, self.attempt, *labels
        )

    def place(self, step: int) -> Place:
        """One step of it."""
        return Place(
            client_id=self.client_id,
            round_number=self.round_number,
            step=step,
            attempt=self.attempt,
        )
