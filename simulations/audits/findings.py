"""What an audit of the code finds, and its form in the report."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that did not hold: a code such as SENSITIVITY, and where."""

    code: str
    text: str


def as_check(
    name: str, unit: str, findings: tuple[Finding, ...], *, seconds: float
) -> dict[str, Any]:
    """A deterministic check in the form of the report's `audit[]`; its result is the codes."""
    codes = sorted({finding.code for finding in findings})
    return {
        "name": name,
        "kind": "deterministic_check",
        "threat_model": "the code of this installation, on worst-case neighbours",
        "unit": unit,
        "result": ", ".join(codes) or "passed",
        "confidence": None,
        "passed": not findings,
        "seconds": round(seconds, 4),
    }
