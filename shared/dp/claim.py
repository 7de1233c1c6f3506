"""One guarantee as data: what `claims` computes, and reports and progress hold.

Apart from the accountants, so that whoever only reads one loads none of them.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One guarantee, in the form of the privacy report's `claims[]`; `epsilon` may be infinite."""

    id: str
    adversary: str
    sees: str
    unit: str
    unit_detail: str
    adjacency: str
    covers: tuple[str, ...]
    not_covered: tuple[str, ...]
    epsilon: float
    delta: float
    delta_rationale: str
    planned_epsilon: float
    budget_epsilon: float
    method: str
    cross_check: dict[str, Any]
    adaptive_valid: str
    no_amplification_epsilon: float
    statement: str

    def to_json(self) -> dict[str, Any]:
        """The claim as JSON; infinity is the text "inf", as the report's schema asks."""
        content = asdict(self)
        content["covers"], content["not_covered"] = list(self.covers), list(self.not_covered)
        content["cross_check"] = {k: _finite(v) for k, v in self.cross_check.items()}
        return {key: _finite(value) for key, value in content.items()}


def _finite(value: Any) -> Any:
    """`value` as strict JSON: infinity is the text "inf"."""
    return "inf" if isinstance(value, float) and math.isinf(value) else value
