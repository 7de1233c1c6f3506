"""Verification: an honest report is confirmed, every changed digit is found."""

import ast
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from server.report import reaccount, recomputation, replan
from server.report.verify import report_digest, verify
from shared.config import Scalar
from shared.errors import StateError
from simulations.federation import simulate

RUN: dict[str, Scalar] = {
    "task": "digits",
    "rounds": 4,
    "population.size": 3,
    "population.examples_per_client": 40,
    "training.batch_size": 40,
    "training.sample_rate": 1.0,
    "privacy.noise_multiplier": 4.0,
    "evaluation.private_every": 2,
    "audit.canaries": 60,
    "output.run_id": "run",
    "output.tensorboard": False,
}
# Each must pass, so that each part of the second computation is used.
KINDS: dict[str, dict[str, Scalar]] = {
    "record": {},
    "sampled records": {"training.sample_rate": 0.5, "rounds": 2, "seed": 3},
    "statistics": {"statistics.private": True, "statistics.high": 16.0},
    "clients": {"privacy.unit": "client", "privacy.epsilon_budget": 100.0},
    "sampled clients": {
        "privacy.unit": "client", "cohort.sample_rate": 0.6, "rounds": 2,
        "privacy.clipping": "adaptive", "population.size": 4, "cohort.minimum_survivors": 0.0,
    },
    "truncated": {
        "privacy.unit": "client", "cohort.sample_rate": 0.02, "rounds": 1, "population.size": 60,
        "population.examples_per_client": 20, "evaluation.private_every": 0,
        "cohort.minimum_survivors": 0.0, "privacy.delta": 1e-4,
    },
    "correlated": {
        "privacy.unit": "client", "privacy.correlation": "banded", "privacy.bands": 2,
        "privacy.min_separation": 2,
    },
    "none": {"privacy.unit": "none", "evaluation.private_every": 0},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_an_honest_report_is_confirmed(tmp_path: Path, kind: str) -> None:
    """For every mechanism, with private queries and audits."""
    folder = simulate(RUN | KINDS[kind] | {"output.dir": str(tmp_path)})
    assert verify(folder) == ()


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    return simulate(RUN | {"output.dir": str(tmp_path_factory.mktemp("runs"))})


@pytest.fixture
def run(honest: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(honest, tmp_path / "run"))


def content(run: Path, name: str = "report.json") -> Any:
    """A JSON file of the run."""
    return json.loads((run / name).read_text())


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every number of a report, and where it stands."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from leaves(entry, (*path, key))
    elif isinstance(value, list):
        for place, entry in enumerate(value):
            yield from leaves(entry, (*path, place))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, value


def put(report: Any, path: tuple[Any, ...], value: Any) -> None:
    """Change one place."""
    for key in path[:-1]:
        report = report[key]
    report[path[-1]] = value


def changed_digits(value: float) -> Iterator[float]:
    """`value` with one digit changed, each of its digits in turn."""
    text = repr(value)
    for place, digit in enumerate(text):
        if digit.isdigit():
            other = str((int(digit) + 1) % 10)
            changed = float(text[:place] + other + text[place + 1 :])
            if changed != value:
                yield changed


def test_any_changed_digit_of_any_number_is_found(run: Path) -> None:
    """The first and the last digit of every number, times and audits included."""
    report, path = content(run), run / "report.json"
    count = 0
    for place, value in list(leaves(report)):
        options = list(changed_digits(value))
        for changed in {options[0], options[-1]} if options else set():
            put(report, place, changed)
            path.write_text(json.dumps(report))
            assert verify(run), place
            count += 1
        put(report, place, value)
    path.write_text(json.dumps(report))
    assert verify(run) == ()
    assert count > 500


RECOMPUTED = [
    *[("claims", 0, key) for key in ("epsilon", "delta", "planned_epsilon", "budget_epsilon")],
    ("claims", 2, "no_amplification_epsilon"),
    ("claims", 1, "profile", 7, 1),
    ("claims", 1, "risk", "advantage"),
    ("claims", 1, "risk", "tpr_at_fpr", 2, 1),
    ("claims", 0, "epsilon_by_round", 1, 1),
    ("clients", "per_client", 0, "spent"),
    ("clients", "per_client", 1, "rounds"),
    ("clients", "epsilon_max"),
    ("data_accesses", 1, "epsilon"),
    ("utility", "by_round", 0, 1),
    ("ledger", "entries"),
    ("run", "rounds_done"),
]


@pytest.mark.parametrize("place", RECOMPUTED, ids=str)
def test_who_rewrites_the_digest_too_is_caught_by_the_numbers(
    run: Path, place: tuple[Any, ...]
) -> None:
    """Every digit down to a millionth of the value."""
    report = content(run)
    value = next(found for where, found in leaves(report) if where == place)
    for changed in list(changed_digits(value))[:4]:
        put(report, place, changed)
        (run / "report.json").write_text(json.dumps(report))
        summary = content(run, "summary.json") | {"report_digest": report_digest(report)}
        (run / "summary.json").write_text(json.dumps(summary))
        assert verify(run), (place, changed)


def test_a_charge_more_or_less_is_found(run: Path) -> None:
    """What was released decides, not what the report says of it."""
    path = run / "charges.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    for changed in (lines[:-1], [*lines, lines[0].replace('"attempt":1', '"attempt":2')]):
        path.write_text("".join(changed))
        assert {finding.path for finding in verify(run)} >= {"claims[0].epsilon"}


def test_another_plan_summary_or_model_is_found(run: Path) -> None:
    """Epsilon is told in three places, the plan in two."""
    config = content(run, "config.json")
    config["privacy.clipping_norm"]["value"] *= 2
    (run / "config.json").write_text(json.dumps(config))
    assert {finding.path for finding in verify(run)} >= {"run.plan_hash", "model.safetensors plan"}
    summary = content(run, "summary.json")
    summary["claims"][1]["epsilon"] = 0.1
    (run / "summary.json").write_text(json.dumps(summary))
    assert "summary.json claims.every_global_model" in {f.path for f in verify(run)}
    model = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").write_bytes(model.replace(b"released_model", b"released_madel"))
    assert any(f.path.startswith("model.safetensors epsilon") for f in verify(run))
    (run / "model.safetensors").write_bytes(b"")
    assert any(f.path == "model.safetensors" for f in verify(run))


@pytest.mark.parametrize("name", ["report.json", "charges.jsonl", "config.json"])
def test_a_run_folder_that_cannot_be_read_is_said(run: Path, name: str) -> None:
    """Missing, or no JSON."""
    (run / name).write_text("{")
    with pytest.raises(StateError, match="cannot be read"):
        verify(run)
    (run / name).unlink()
    with pytest.raises(StateError, match="cannot be read"):
        verify(run)


def test_a_report_of_another_form_is_said(run: Path) -> None:
    """Not taken for a confirmed one."""
    (run / "report.json").write_text("{}")
    assert any("of the form" in finding.expected for finding in verify(run))


def test_a_delta_beyond_the_library_is_not_confirmed(run: Path) -> None:
    """Honest about what it cannot do."""
    config = content(run, "config.json")
    config["privacy.delta"]["value"] = 1e-12
    (run / "config.json").write_text(json.dumps(config))
    assert any("cannot be recomputed" in finding.expected for finding in verify(run))


def test_nothing_is_shared_with_the_accountant_but_the_library() -> None:
    """A mistake of ours must not be repeated here."""
    for module in (recomputation, reaccount, replan):
        assert module.__file__ is not None
        for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            for name in names:
                ours = name.split(".")[0] in {
                    "shared",
                    "client",
                    "simulations",
                    "murmura",
                    "server",
                }
                assert not ours or name in {"server.report.reaccount", "server.report.replan"}, name
