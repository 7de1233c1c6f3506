"""`murmura ledger`: what a site's operator types."""

import json
from pathlib import Path

import pytest

from client.ledger import Ledger
from tests.client.site_ledger import release
from tests.murmura.conftest import Command

BUDGET = ("--data-set", "x-rays", "--epsilon", "8", "--delta", "1e-5", "--unit", "record")


@pytest.fixture
def folder(murmura: Command, tmp_path: Path) -> Path:
    """A ledger with one release."""
    path = tmp_path / "ledger"
    assert murmura("ledger", "set-budget", "--ledger", path, *BUDGET, "--quota", "0.5") == 0
    ledger = Ledger(path)
    ledger.commit(ledger.reserve(release(1)), "cd" * 32)
    return path


def test_show_says_what_is_left_of_what(
    murmura: Command, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By all servers and by each; in words and as JSON."""
    assert murmura("ledger", "show", "--ledger", folder) == 0
    out = capsys.readouterr().out
    for part in (
        "x-rays, block all",
        "one record",
        "adjacency: add or remove one; against servers",
        "1 release charged, 1 answered",
        "in fact)",
    ):
        assert part in out, part
    assert murmura("ledger", "show", "--ledger", folder, "--json") == 0
    (block,) = json.loads(capsys.readouterr().out.splitlines()[-1])["blocks"]
    assert 0 < block["spent_epsilon_pld"] <= block["spent_epsilon"] <= 8
    assert block["by_server"] == {"server": block["spent_epsilon"]}
    assert (block["quota"], block["delta"]) == (0.5, 1e-5)
    assert block["adjacency"] == "add_or_remove_one"


def test_an_untouched_ledger_is_shown_too(
    murmura: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing spent; and a torn entry is mentioned."""
    path = tmp_path / "ledger"
    assert murmura("ledger", "set-budget", "--ledger", path, *BUDGET) == 0
    journal = path / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"torn')
    assert murmura("ledger", "show", "--ledger", path) == 0
    assert "1 entry torn by a crash, for which nothing was released" in capsys.readouterr().out


def test_verify_fails_on_a_changed_digit(
    murmura: Command, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 5 and why; 0 and the head before."""
    assert murmura("ledger", "verify", "--ledger", folder) == 0
    assert "intact: 3 entries" in capsys.readouterr().out
    assert murmura("ledger", "verify", "--ledger", folder, "--json") == 0
    assert json.loads(capsys.readouterr().out)["intact"] is True
    path = folder / "journal.jsonl"
    path.write_text(path.read_text().replace('"epsilon":8.0', '"epsilon":9.0'))
    assert murmura("ledger", "verify", "--ledger", folder) == 5
    assert "frozen" in capsys.readouterr().err


def test_a_budget_can_be_raised_and_new_blocks_opened(murmura: Command, folder: Path) -> None:
    """What was spent stays spent."""
    before = Ledger(folder).spent("all")
    changed = [part if part != "8" else "9" for part in BUDGET]
    assert murmura("ledger", "set-budget", "--ledger", folder, *changed) == 0
    assert murmura("ledger", "set-budget", "--ledger", folder, *BUDGET, "--block", "2027") == 0
    again = Ledger(folder)
    assert (again.spent("all"), again.blocks["all"].grant.epsilon) == (before, 9.0)
    assert set(again.blocks) == {"all", "2027"}


def test_export_writes_every_entry(
    murmura: Command, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the signed head; to where it can be written."""
    out = tmp_path / "ledger.json"
    assert murmura("ledger", "export", "--ledger", folder, "--out", out) == 0
    assert out.stat().st_mode & 0o077 == 0
    content = json.loads(out.read_text())
    assert [entry["kind"] for entry in content["entries"]] == ["set_budget", "reserve", "commit"]
    assert content["head"]["hash"] == content["entries"][-1]["hash"]
    assert murmura("ledger", "export", "--ledger", folder, "--out", tmp_path) == 5
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(("rounds", "verdict"), [(5, "it fits"), (100_000, "it does not fit")])
def test_forecast_says_how_many_rounds_of_a_plan_are_left(
    murmura: Command,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rounds: int,
    verdict: str,
) -> None:
    """The plan comes from a run's settings."""
    plan = tmp_path / "run.toml"
    plan.write_text(f"rounds = {rounds}\n")
    assert murmura("ledger", "forecast", "--ledger", folder, "--plan", plan) == 0
    assert verdict in capsys.readouterr().out
    assert murmura("ledger", "forecast", "--ledger", folder, "--plan", plan, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["enough"] is (found["rounds"] >= rounds)


def test_no_ledger_is_said_with_the_place(
    murmura: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 5, and what makes one."""
    assert murmura("ledger", "show", "--ledger", tmp_path / "nowhere") == 5
    said = capsys.readouterr().err
    assert "nowhere" in said
    assert "`murmura ledger set-budget` makes a ledger" in said
