"""How often a client takes part in a run whose noise is one release over all of its rounds."""

from dataclasses import dataclass

from dp_accounting import dp_event as dp

from shared.errors import PrivacyError


@dataclass(frozen=True, slots=True, kw_only=True)
class Participation:
    """How often one client takes part in a run whose noise is correlated over rounds.

    Attributes:
        min_separation: Rounds between two.
        most: In the whole run.
        repeat: What another attempt at a round, with fresh noise, releases more.
    """

    min_separation: int
    most: int
    repeat: dp.DpEvent

    def check(self, before: frozenset[int], round_number: int) -> None:
        """Raise PrivacyError if one more would break the accounting; the same round may repeat."""
        others = before - {round_number}
        near = [done for done in others if abs(round_number - done) < self.min_separation]
        if near or len(others) >= self.most:
            raise PrivacyError(
                f"expected at most {self.most} rounds in the run, {self.min_separation} apart, got "
                f"round {round_number} after {sorted(before)}"
            )
