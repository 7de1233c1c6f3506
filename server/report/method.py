"""The page's parts for whoever wants to know how: mechanisms, accounting, trust, the run."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from server.report.facts import OBSERVERS, number, rounded_up, words
from server.report.tables import Cell, badge, pairs, table
from shared.counting import counted

_WHOLE_NUMBERS = {"discrete_gaussian", "skellam"}
_OF_INTEGERS = (
    "bounded by RDP at whole orders, where its divergence is at most that of a Gaussian; the PLD "
    "shown is that of continuous noise, and bounds nothing"
)


def mechanisms(listed: Sequence[Mapping[str, Any]]) -> str:
    """One list of facts a mechanism."""
    return "".join(f"<h3>{escape(m['name'])}</h3>{pairs(_mechanism(m))}" for m in listed)


def _mechanism(mechanism: Mapping[str, Any]) -> dict[str, Cell]:
    sampling, lost = mechanism["sampling"], mechanism.get("dropouts", {})
    mode = mechanism.get("clip_mode")
    named = ", ".join(f"{words(key)} {value}" for key, value in lost.items())
    return {
        "clip": number(mechanism["clip_norm"]) + (f" ({words(mode)})" if mode else ""),
        "noise multiplier": number(mechanism["noise_multiplier"]),
        "effective": _given(mechanism.get("noise_multiplier_effective")),
        "noise": words(mechanism.get("noise_distribution", "")),
        "noise added by": words(mechanism["noise_placed_by"]),
        "sampling": words(sampling["scheme"]),
        "sample rate": _given(sampling.get("q")),
        "cap": _given(sampling.get("cap")),
        "population": _given(sampling.get("population")),
        "draw is secret from": ", ".join(sampling.get("secret_from", ())),
        "steps": number(mechanism["steps"]),
        "weighting": words(mechanism.get("weighting", "")),
        "denominator": words(mechanism.get("denominator", "")),
        "most rounds of one client": _given(mechanism.get("max_participations")),
        "rounds between two of them": _given(mechanism.get("min_separation")),
        "dropouts": named,
    }


def _given(value: Any) -> str:
    return "" if value is None else number(value)


def accounting(report: Mapping[str, Any]) -> str:
    """How each epsilon was computed, with what it was compared, and what it covers."""
    used = report["accounting"]
    tuning = used.get("tuning", {})
    orders = used["orders"]
    facts: dict[str, Cell] = {
        "library": f"{used['library']} {used['version']}",
        "interval": number(used["value_discretization_interval"]),
        "orders": f"{len(orders)}, {min(orders)} to {max(orders)}" if orders else "",
        "tuning": words(str(tuning.get("method", ""))),
        "epsilon with tuning": _given(tuning.get("epsilon_with_tuning")),
        "ledger": f"{words(report['ledger']['scope'])}, "
        f"{counted(report['ledger']['entries'], 'entry', 'entries')}, "
        f"enforced at {report['ledger'].get('enforced_at', 'nowhere')}",
        "ledger before and after": f"{number(report['ledger']['opening_epsilon'])} to "
        f"{number(report['ledger']['closing_epsilon'])}",
        "protection against rollback": report["ledger"].get("rollback_protection", ""),
    }
    rows = [_computed(claim) for claim in report["claims"]]
    headings = ("against", "planned", "computed by", "PLD", "RDP", "agree")
    if any(m.get("noise_distribution") in _WHOLE_NUMBERS for m in report["mechanisms"]):
        facts["integer noise"] = _OF_INTEGERS
    return (
        pairs(facts)
        + table("How each epsilon was computed", headings, rows)
        + _scopes(report["claims"])
    )


def _scopes(claims: Sequence[Mapping[str, Any]]) -> str:
    """What claims cover, each scope once."""
    found: dict[tuple[str, ...], list[str]] = {}
    for claim in claims:
        scope = (
            claim["unit_detail"],
            ", ".join(claim["covers"]),
            ", ".join(claim.get("not_covered", ())),
            claim["delta_rationale"],
        )
        found.setdefault(scope, []).append(_observer(claim))
    names = ("unit", "covers", "does not cover", "why this delta")
    parts = [
        (f"<h3>Against {escape('; '.join(against))}</h3>" if len(found) > 1 else "")
        + pairs(dict(zip(names, scope, strict=True)))
        for scope, against in found.items()
    ]
    return "".join(parts)


def _computed(claim: Mapping[str, Any]) -> list[Cell]:
    check = claim.get("cross_check", {})
    agree = check.get("agree")
    return [
        _observer(claim),
        number(claim["planned_epsilon"]),
        words(claim["method"]),
        _rounded(check.get("pld")),
        _rounded(check.get("rdp")),
        number(None) if agree is None else badge("yes" if agree else "no"),
    ]


def _observer(claim: Mapping[str, Any]) -> str:
    return OBSERVERS.get(claim["adversary"], words(claim["adversary"]))


def _rounded(value: Any) -> str:
    return number(value) if value in (None, "inf") else number(rounded_up(float(value)))


def trust(content: Mapping[str, Any]) -> str:
    """Who is trusted for what."""
    rows = [
        [p.get("party", ""), p.get("trusted_for", ""), p.get("sees", "")]
        for p in content["parties"]
    ]
    threshold = content.get("collusion_threshold")
    facts: dict[str, Cell] = {
        "model": words(content["model"]),
        "colluders tolerated": _given(threshold),
    }
    return pairs(facts) + table("Parties", ("party", "trusted for", "sees"), rows)


def implementation(content: Mapping[str, Any]) -> str:
    """What the claim's proof leaves out: generators, floating point, side channels."""
    return pairs(
        {
            words(key): ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            for key, value in content.items()
            if key != "signatures"
        }
    )


def the_run(report: Mapping[str, Any]) -> str:
    """Which run, which code, which plan."""
    run = report["run"]
    software = run.get("software", {})
    return pairs(
        {
            "run": run["run_id"],
            "purpose": str(run.get("purpose", "")),
            "rounds": f"{run['rounds_done']} of {run['rounds_planned']}",
            "ended because": words(run["stop_reason"]),
            "execution": run["execution"],
            "randomness": words(run["seed_policy"]),
            "plan": run["plan_hash"],
            "code": run["git_commit"] + (" with changes" if run.get("dirty") else ""),
            "software": ", ".join(f"{name} {version}" for name, version in software.items()),
        }
    )
