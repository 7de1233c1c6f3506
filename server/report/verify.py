"""Recomputes a report from the run's charges, with code of its own.

Of the accountant it shares nothing but dp-accounting: plan, events, exposures, claims, curves and
risks are worked out here a second time, from config.json, charges.jsonl and metrics.jsonl alone.
What cannot be recomputed (times, audits, texts) is compared with the digest that summary.json
keeps of the report. Whoever rewrites report and digest together is caught by the numbers alone;
whoever rewrites charges and configuration as well has made up another run.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.report.recomputation import Recomputation
from shared.errors import StateError

REPORT, SUMMARY, MODEL = "report.json", "summary.json", "model.safetensors"
_TOLERANCE = 1e-6  # of curves; epsilons have four decimals, and the digest has them all
_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where the report is not what the charges say."""

    path: str
    expected: str
    found: str


def verify(folder: Path) -> tuple[Finding, ...]:
    """Everything in the report of `folder` that its charges do not confirm; () if all is right.

    Raises:
        StateError: report, configuration, charges or metrics cannot be read as JSON.
    """
    report, summary = _json(folder / REPORT), _json(folder / SUMMARY)
    config = {key: entry["value"] for key, entry in _json(folder / "config.json").items()}
    charges, metrics = _lines(folder / "charges.jsonl"), _lines(folder / "metrics.jsonl")
    findings = []
    try:
        again = Recomputation(config, charges, report["accounting"]["orders"])
        findings += _compared("", again.expected(report, metrics), report)
        findings += _claims_elsewhere(again, summary, folder)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        findings.append(Finding(REPORT, "a report of the form that is written", what))
    if report_digest(report) != summary.get("report_digest"):
        findings.append(
            Finding(
                REPORT, f"digest {summary.get('report_digest')}", f"digest {report_digest(report)}"
            )
        )
    return tuple(findings)


def report_digest(report: Mapping[str, Any]) -> str:
    """SHA-256 of the report as sorted JSON, hexadecimal."""
    text = json.dumps(report, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _compared(path: str, expected: Any, found: Any) -> list[Finding]:
    """Differences, `expected` deciding what is looked at."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return [
            finding
            for key, value in expected.items()
            for finding in _compared(f"{path}.{key}".lstrip("."), value, found.get(key))
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = enumerate(zip(expected, found, strict=True))
        return [
            finding
            for place, (value, other) in pairs
            for finding in _compared(f"{path}[{place}]", value, other)
        ]
    if _equal(expected, found):
        return []
    return [Finding(path, _short(expected), _short(found))]


def _equal(expected: Any, found: Any) -> bool:
    numbers = isinstance(expected, float) and isinstance(found, int | float)
    if numbers and not isinstance(found, bool):
        return math.isclose(expected, found, rel_tol=_TOLERANCE, abs_tol=1e-15)
    return type(expected) is type(found) and bool(expected == found)


def _claims_elsewhere(
    again: Recomputation, summary: Mapping[str, Any], folder: Path
) -> list[Finding]:
    """Epsilons that are told outside the report: in the summary, and in the model's metadata."""
    epsilons = again.epsilons()
    told = {claim["adversary"]: claim["epsilon"] for claim in summary["claims"]}
    found = _compared("summary.json claims", epsilons, told)
    try:
        with (folder / MODEL).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            metadata = json.loads(file.read(length))["__metadata__"]
        inside = json.loads(metadata["epsilon"])
    except (OSError, ValueError, KeyError) as error:
        return [*found, Finding(MODEL, "epsilon in its metadata", type(error).__name__)]
    found += _compared(f"{MODEL} epsilon", epsilons, inside)
    return found + _compared(f"{MODEL} plan", again.plan_digest, metadata.get("plan_digest"))


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StateError(f"{path} cannot be read as JSON") from error


def _lines(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise StateError(f"{path} cannot be read as lines of JSON") from error
