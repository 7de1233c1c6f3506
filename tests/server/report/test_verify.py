"""Verification: an honest report is confirmed, whatever was changed afterwards is found."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.report.verify import differences, report_digest, verify
from shared.errors import StateError
from simulations.federation import simulate
from tests.server.report.runs import KINDS, RUN, again, changed_numbers, content, leaves, put, texts


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


def write(run: Path, value: Any, name: str = "report.json") -> None:
    """Replace a JSON file of the run."""
    (run / name).write_text(json.dumps(value))


def paths(run: Path) -> set[str]:
    """Where something is found."""
    return {finding.path for finding in verify(run)}


def test_a_changed_audit_time_or_word_is_found_by_the_digest(run: Path) -> None:
    """What nobody can recompute: every digit of an audit, every text."""
    report, kept = content(run), content(run, "summary.json")["report_digest"]
    assert report_digest(report) == kept
    for place, value in [leaf for leaf in leaves(report) if leaf[0][0] == "audit"]:
        for changed in changed_numbers(value):
            put(report, place, changed)
            assert report_digest(report) != kept
        put(report, place, value)
    for place, text in list(texts(report)):
        put(report, place, text + " ")
        assert report_digest(report) != kept
        put(report, place, text)
    report["created"] = "2020-01-01T00:00:00+00:00"
    write(run, report)
    assert paths(run) == {"report.json"}


def test_who_rewrites_the_digest_too_is_caught_by_the_numbers(run: Path) -> None:
    """And by them alone."""
    report = content(run)
    report["claims"][0]["epsilon"] = round(report["claims"][0]["epsilon"] - 0.0001, 4)
    write(run, report)
    write(run, content(run, "summary.json") | {"report_digest": report_digest(report)},
          "summary.json")  # fmt: skip
    assert "claims[0].epsilon" in paths(run)
    assert "report.json" not in paths(run)


def test_a_charge_more_or_less_is_found(run: Path) -> None:
    """What was released decides, not what the report says of it."""
    path = run / "charges.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    again_asked = lines[0].replace('"attempt":1', '"attempt":2')
    for changed in (lines[:-1], lines[1:], [*lines, again_asked]):
        path.write_text("".join(changed))
        assert paths(run) >= {"claims[0].epsilon", "ledger.entries"}
    path.write_text("".join([*lines, lines[0]]))
    assert f"charges.jsonl[{len(lines)}]" in paths(run)
    path.write_text("".join(lines[1:]))
    assert "charges.jsonl" in paths(run)


@pytest.mark.parametrize(
    "change",
    [
        lambda charge: charge["event"].update(count=2),
        lambda charge: charge["event"]["event"].update(noise_multiplier=8.0),
        lambda charge: charge.update(event={"kind": "none"}),
        lambda charge: charge.update(kind="statistics"),
    ],
)
def test_a_charge_that_is_not_the_plans_is_found(
    run: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    """Though a report could be written that agrees with it."""
    path = run / "charges.jsonl"
    first, *others = path.read_text().splitlines()
    charge = json.loads(first)
    change(charge)
    path.write_text("\n".join([json.dumps(charge), *others]) + "\n")
    assert "charges.jsonl[0].event" in paths(run)


def test_a_charge_of_correlated_noise_that_costs_nothing_is_missed_too(tmp_path: Path) -> None:
    """The first round is charged everything, yet each must be there; a repeated one costs."""
    folder = simulate(RUN | KINDS["tree"] | {"output.dir": str(tmp_path)})
    path = folder / "charges.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert "charges.jsonl" in paths(folder)
    repeated = json.loads(lines[3]) | {"attempt": 2}
    path.write_text("".join([*lines, json.dumps(repeated) + "\n"]))
    assert f"charges.jsonl[{len(lines)}].event" in paths(folder)


def test_another_plan_is_found(run: Path) -> None:
    """In the report, and in the model."""
    config = content(run, "config.json")
    config["privacy.clipping_norm"]["value"] *= 2
    write(run, config, "config.json")
    assert paths(run) >= {"run.plan_hash", "model.safetensors.plan_digest"}


@pytest.mark.parametrize("key", ["epsilon", "delta", "no_amplification_epsilon", "budget_epsilon"])
def test_another_number_in_the_summary_is_found(run: Path, key: str) -> None:
    """Epsilon is told in three places."""
    summary = content(run, "summary.json")
    summary["claims"][1][key] *= 0.9
    write(run, summary, "summary.json")
    assert paths(run) == {f"summary.json claims.every_global_model.{key}"}


def test_every_digit_of_an_epsilon_in_the_models_metadata_counts(run: Path) -> None:
    """It travels without the report."""
    path = run / "model.safetensors"
    whole = path.read_bytes()
    told = json.dumps(content(run)["claims"][2]["epsilon"]).encode()
    before = whole.index(b"released_model")
    start = whole.index(told, before)
    for place in range(start, start + len(told)):
        if whole[place : place + 1].isdigit():
            digit = str((int(whole[place : place + 1]) + 1) % 10).encode()
            path.write_bytes(whole[:place] + digit + whole[place + 1 :])
            assert paths(run) == {"model.safetensors epsilon.released_model"}
    path.write_bytes(whole.replace(b'"delta":"1e-05"', b'"delta":"1e-06"'))
    assert paths(run) == {"model.safetensors.delta"}


@pytest.mark.parametrize("broken", [b"", b"12345678", b"\x02\0\0\0\0\0\0\0{}", b"\xff" * 64])
def test_a_model_file_that_is_none_is_found(run: Path, broken: bytes) -> None:
    """Not taken for one that agrees."""
    (run / "model.safetensors").write_bytes(broken)
    assert paths(run) == {"model.safetensors"}
    (run / "model.safetensors").unlink()
    assert paths(run) == {"model.safetensors"}


@pytest.mark.parametrize("name", ["report.json", "summary.json", "charges.jsonl", "config.json"])
def test_a_run_folder_that_cannot_be_read_is_said(run: Path, name: str) -> None:
    """Missing, or no JSON."""
    (run / name).write_text("{")
    with pytest.raises(StateError, match="cannot be read"):
        verify(run)
    (run / name).unlink()
    with pytest.raises(StateError, match="cannot be read"):
        verify(run)


@pytest.mark.parametrize("name", ["report.json", "summary.json", "config.json"])
@pytest.mark.parametrize("text", ["{}", "[]", "7", '{"claims": 3, "audit": [1], "verdict": []}'])
def test_a_file_of_another_form_is_said(run: Path, name: str, text: str) -> None:
    """Not taken for a confirmed one, and no crash."""
    (run / name).write_text(text)
    assert verify(run)


def test_a_delta_beyond_the_library_is_not_confirmed(run: Path) -> None:
    """Honest about what it cannot do."""
    config = content(run, "config.json")
    config["privacy.delta"]["value"] = 1e-12
    write(run, config, "config.json")
    assert any("cannot be recomputed" in finding.expected for finding in verify(run))


def test_a_long_difference_is_shortened(run: Path) -> None:
    """A finding is for a person."""
    report = content(run)
    report["claims"][0]["profile"] = []
    [finding] = [f for f in differences(again(run), report) if f.path.endswith("profile")]
    assert len(finding.expected) == 120
    assert finding == replace(finding, found="[]")
