"""Recomputes a report from the run's charges, with code of its own.

Of the accountant it shares nothing but dp-accounting: plan, events, exposures, claims, curves and
risks are worked out here a second time, from config.json, charges.jsonl and metrics.jsonl alone,
and compared digit for digit. What cannot be recomputed (times, audits, the words of texts) is
compared with the digest that summary.json keeps of the report.

What it cannot do: whoever rewrites report and digest together is caught by the numbers alone, and
could give audits that nobody made; whoever rewrites configuration, charges, metrics and report
consistently has made up another run, which only the sites' signed ledgers contradict.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.report import retold
from server.report.recomputation import Recomputation
from server.report.replan import same_event
from server.report.told import Told, numbers_in
from shared.errors import StateError

REPORT, SUMMARY, MODEL = "report.json", "summary.json", "model.safetensors"
_SHOWN = 120
_HEADER = 1 << 26  # bytes of a model file's header, at most


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where the report is not what the charges say."""

    path: str
    expected: str
    found: str


def verify(folder: Path) -> tuple[Finding, ...]:
    """Everything in the report of `folder` that its charges do not confirm; () if all is right.

    Raises:
        StateError: report, summary, configuration, charges or metrics cannot be read as JSON.
    """
    report, summary = _json(folder / REPORT), _json(folder / SUMMARY)
    config = _json(folder / "config.json")
    charges, metrics = _lines(folder / "charges.jsonl"), _lines(folder / "metrics.jsonl")
    findings = []
    try:
        flat = {key: entry["value"] for key, entry in config.items()}
        again = Recomputation(flat, charges, metrics)
        findings += charged(again)
        if again.confirmable:
            findings += [*differences(again, report), *_elsewhere(again, summary, folder)]
        else:
            text = f"cannot be recomputed at delta {again.delta!r}"
            findings.append(Finding("claims", text, _short(report["claims"][0]["epsilon"])))
    except (KeyError, TypeError, IndexError, ValueError, AttributeError, ArithmeticError) as error:
        what = f"{type(error).__name__}: {error}"
        findings.append(Finding(REPORT, "a run folder of the form that is written", what))
    told, kept = report_digest(report), _get(summary, "report_digest")
    if told != kept:
        findings.append(Finding(REPORT, f"digest {kept}", f"digest {told}"))
    return tuple(findings)


def report_digest(report: Mapping[str, Any]) -> str:
    """SHA-256 of the report as sorted JSON, hexadecimal."""
    text = json.dumps(report, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def charged(again: Recomputation) -> list[Finding]:
    """Charges that the plan does not have, or that metrics say must be there and are not."""
    found, seen = [], set()
    for place, charge in enumerate(again.charges):
        key = (charge["kind"], charge["round_number"], charge["attempt"])
        expected, event = again.plan.event_of(*key), charge["event"]
        if not same_event(expected, event):
            where = f"charges.jsonl[{place}].event"
            found.append(Finding(where, _short(expected), _short(event)))
        if key in seen:
            found.append(Finding(f"charges.jsonl[{place}]", "one charge of an attempt", str(key)))
        seen.add(key)
    rounds = {(kind, number) for kind, number, _ in seen}
    wanted = {("statistics", 1)} if "statistics" in again.plan.queries else set()
    for line in again.metrics:
        wanted.add(("train", line["round"]))
        if line.get("private_loss") is not None or line.get("private_accuracy") is not None:
            wanted.add(("evaluate", line["round"]))
    return found + [
        Finding("charges.jsonl", f"a charge of kind {kind} in round {number}", "none")
        for kind, number in sorted(wanted - rounds)
    ]


def differences(again: Recomputation, report: Mapping[str, Any]) -> list[Finding]:
    """Numbers of the report, and of its texts, that are not the recomputed ones."""
    audits = report["audit"]
    expected = again.blocks | {
        "claims": again.claims,
        "mechanisms": retold.mechanisms(again),
        "assumptions": retold.assumptions(again),
        "trust": retold.trust(again),
        "verdict": {"level": retold.level(retold.problems(again, audits))},
    }
    return [*_compared("", expected, report), *_texts(again, report)]


def _texts(again: Recomputation, report: Mapping[str, Any]) -> Iterator[Finding]:
    verdict, audits = report["verdict"], report["audit"]
    yield from _numbers("verdict.one_line", retold.one_line(again), verdict["one_line"])
    problems = retold.problems(again, audits)
    told = [problem["code"] for problem in verdict["problems"]]
    yield from _compared("verdict.problems code", list(problems), told)
    for place, problem in enumerate(verdict["problems"]):
        if (numbers := problems.get(problem["code"])) is not None:
            yield from _numbers(f"verdict.problems[{place}].text", numbers, problem["text"])
    for place, claim in enumerate(report["claims"]):
        numbers = retold.statement(again, claim, audits)
        yield from _numbers(f"claims[{place}].statement", numbers, claim["statement"])
        reason = retold.rationale(again)
        yield from _numbers(f"claims[{place}].delta_rationale", reason, claim["delta_rationale"])
    yield from _assumed(again, report["assumptions"])


def _assumed(again: Recomputation, found: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    for place, assumption in enumerate(found):
        if assumption["id"] == "fixed_plan" and again.plan.digest not in assumption["evidence"]:
            where = f"assumptions[{place}].evidence"
            yield Finding(where, again.plan.digest, _short(assumption["evidence"]))
        if assumption["id"] == "honest_helper":
            named = ", ".join(again.config["aggregation.helpers"].split(","))
            if named not in assumption["text"]:
                yield Finding(f"assumptions[{place}].text", named, _short(assumption["text"]))
        if assumption["id"] == "aggregation_rule":
            rule = again.config.get("server.aggregation", "mean")
            if f"({rule})" not in assumption["text"]:
                yield Finding(f"assumptions[{place}].text", rule, _short(assumption["text"]))
        if assumption["id"] == "honest_fraction":
            where, told = f"assumptions[{place}].text", assumption["text"]
            yield from _numbers(where, retold.honest_fraction(again), told)


def _numbers(path: str, expected: Sequence[str], text: str) -> list[Finding]:
    found = numbers_in(text)
    if list(expected) == found:
        return []
    return [Finding(path, " ".join(expected) or "no number", " ".join(found) or "no number")]


def _compared(path: str, expected: Any, found: Any) -> list[Finding]:
    """Differences, `expected` deciding what is looked at."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            finding
            for key, value in expected.items()
            for finding in _compared(f"{path}.{key}".lstrip("."), value, found.get(key))
        ]
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return [
            finding
            for place, (value, other) in enumerate(zip(expected, found, strict=True))
            for finding in _compared(f"{path}[{place}]", value, other)
        ]
    if _equal(expected, found):
        return []
    return [Finding(path, _short(expected), _short(found))]


def _equal(expected: Any, found: Any) -> bool:
    if isinstance(expected, Told):
        return expected.is_told_by(found)
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    return bool(expected == found)


def _elsewhere(again: Recomputation, summary: Mapping[str, Any], folder: Path) -> list[Finding]:
    """What is told outside the report: in the summary, and in the model's metadata."""
    told = {claim["adversary"]: claim for claim in summary["claims"]}
    observers = [claim["adversary"] for claim in again.claims]
    found = _compared("summary.json claims", {o: again.told(o) for o in observers}, told)
    found += _compared("summary.json rounds", len(again.metrics), summary["rounds"])
    try:
        with (folder / MODEL).open("rb") as file:
            length = min(int.from_bytes(file.read(8), "little"), _HEADER)
            metadata = json.loads(file.read(length))["__metadata__"]
        inside = json.loads(metadata["epsilon"])
    except (OSError, ValueError, KeyError) as error:
        return [*found, Finding(MODEL, "epsilon in its metadata", type(error).__name__)]
    epsilons = {observer: again.told(observer)["epsilon"] for observer in observers}
    found += _compared(f"{MODEL} epsilon", epsilons, inside)
    kept = {
        "plan_digest": again.plan.digest,
        "delta": repr(again.delta),
        "unit": again.plan.unit,
        "rounds": str(len(again.metrics)),
    }
    return found + _compared(MODEL, kept, metadata)


def _short(value: Any) -> str:
    if isinstance(value, Told):
        return "inf" if math.isinf(value.value) else repr(value.number)
    text = json.dumps(value, default=_short)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _get(content: Any, key: str) -> Any:
    return content.get(key) if isinstance(content, Mapping) else None


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
