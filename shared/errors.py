"""The exception tree. Messages say what was expected, then what came; never a secret.

FederationError
├── ConfigurationError(ValueError)   a parameter is outside its domain, or unknown
├── DataError                        a data set is missing, corrupt or of the wrong form
├── ProtocolError                    a peer's message is wrong; the peer is left out of the round
│   ├── MessageError                 cannot be decoded: version, length, type
│   └── TooFewSurvivors              below the run's minimum: the round is void
│       └── SpoiledSum               clients whose seeds cannot be put together: likewise
├── StateError                       saved state is missing, corrupt, or of another run or version
└── PrivacyError                     the promised guarantee would not hold; caught at the edge only
    ├── BudgetExhausted              the plan, or the next round, would overspend the budget
    └── AggregationRefused           answering would let the server see more than one sum
"""

from collections.abc import Sequence


class FederationError(Exception):
    """Everything that Murmura raises on purpose."""


class ConfigurationError(FederationError, ValueError):
    """A parameter is outside its domain, or unknown."""


class DataError(FederationError):
    """A data set is missing, corrupt or of the wrong form; says what was looked for and where."""


class ProtocolError(FederationError):
    """A peer's message is wrong; the peer is left out of the round, the run goes on."""


class MessageError(ProtocolError):
    """A message cannot be decoded: wrong version, length or type."""


class TooFewSurvivors(ProtocolError):  # noqa: N818 - the field's word for it
    """Fewer clients answered than the run's minimum; the round is void."""


class SpoiledSum(TooFewSurvivors):
    """Shares do not give back the seeds that undo the masks; the round is void.

    Args:
        count: Clients whose seeds could not be put together.
        guilty: Those of them who sealed false shares, as more members say than can be corrupt.
    """

    def __init__(self, count: int, guilty: Sequence[str]) -> None:
        named = f"; sealed by {', '.join(map(repr, guilty))}" if guilty else ""
        super().__init__(
            f"expected shares that give back each seed, got false ones of {count}{named}"
        )
        self.guilty = tuple(guilty)


class StateError(FederationError):
    """Saved state is missing, corrupt, or belongs to another configuration or code version."""


class PrivacyError(FederationError):
    """The promised guarantee would not hold; fails closed, caught only at the app's edge."""


class BudgetExhausted(PrivacyError):  # noqa: N818 - the field's word for it
    """The plan, or the next round, would spend more than the budget."""


class AggregationRefused(PrivacyError):  # noqa: N818 - the field's word for it
    """Answering would let the server see more than one sum; nothing was revealed.

    Attributes:
        reason: Which check refused, a name of `shared/secagg/refusal.py`.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason
