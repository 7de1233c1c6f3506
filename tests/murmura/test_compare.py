"""`murmura compare`: epsilons share an axis only where they mean the same."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from murmura.compare_page import compare_page, table_of, traffic_of
from murmura.comparison import MOST_RUNS, Basis, Comparison, compare
from server.progress import RunStarted
from shared.errors import ConfigurationError, StateError
from tests.murmura.conftest import Command
from tests.murmura.test_watch_page import Tags
from tests.murmura.watched import EVIL, claims_of, events, finished, put

AT_SITES: dict[str, Any] = {"accuracy": None, "private_accuracy": 0.5, "metrics": {}}
SERVER, MODELS, FINAL = "server_each_update", "every_global_model", "released_model"


def run(
    folder: Path,
    *,
    epsilon: float = 0.5,
    observers: tuple[str, ...] = (SERVER, MODELS),
    unit: str = "record",
    delta: float = 1e-5,
    **changes: Any,
) -> Path:
    """A finished run of three rounds whose report promises `epsilon` a round to `observers`."""
    plain = unit == "none"
    told = events(3, **{"epsilon": math.inf if plain else epsilon, **changes})
    finished(folder, [e for e in told if not isinstance(e, RunStarted) or not plain])
    claims: list[dict[str, Any]] = [
        {"unit": unit, "adjacency": "add_or_remove_one", "adversary": observer, "delta": delta,
         "epsilon": 3 * epsilon, "epsilon_by_round": [[n, n * epsilon] for n in (1, 2, 3)]}
        for observer in (() if plain else observers)
    ]  # fmt: skip
    claims.append({"adversary": FINAL, "epsilon": "inf"})
    (folder / "report.json").write_text(json.dumps({"claims": claims}))
    return folder


def drawn(comparison: Comparison) -> list[str]:
    """Titles of the page's charts."""
    text = compare_page(comparison)
    return [part.partition("<")[0].partition(">")[2] for part in text.split("<figcaption")[1:]]


def test_runs_of_one_kind_share_an_axis(tmp_path: Path) -> None:
    """That of the first claim, which is the strongest observer's where they learn the same."""
    found = compare([run(tmp_path / "a"), run(tmp_path / "b", epsilon=2.0)])
    [axis] = found.axes
    assert axis.basis == Basis("record", "add_or_remove_one", SERVER, 1e-5)
    assert [r.name for r in axis.runs] == ["a", "b"]
    assert [r.final(axis.basis) for r in axis.runs] == [1.5, 6.0]
    price = found.runs[0].price(axis.basis, "accuracy")
    assert [epsilon for epsilon, _ in price] == [0.5, 1.0, 1.5]
    assert [score for _, score in price] == pytest.approx([0.2, 0.4, 0.6])
    assert drawn(found) == [
        "accuracy against epsilon", "accuracy by round", "loss by round", "epsilon by round",
        "accuracy by seconds",
    ]  # fmt: skip
    assert "against the server, which sees each update" in found.notes[0]


@pytest.mark.parametrize(
    "other",
    [{"unit": "client"}, {"delta": 1e-6}, {"observers": (FINAL,)}],
    ids=["unit", "delta", "observer"],
)
def test_epsilons_that_mean_different_things_are_kept_apart(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    """Two axes, and a note that says why; no chart has both."""
    found = compare([run(tmp_path / "a"), run(tmp_path / "b", **other)])
    assert [[r.name for r in axis.runs] for axis in found.axes] == [["a"], ["b"]]
    assert "not comparable" in found.notes[0]
    assert "epsilon by round" not in drawn(found)
    text = compare_page(found)
    charts = [part for part in text.split("<figure>") if "against epsilon" in part]
    assert len(charts) == 2
    assert [(">a</li>" in chart, ">b</li>" in chart) for chart in charts] == [
        (True, False), (False, True),
    ]  # fmt: skip


def test_the_neighbouring_relation_is_part_of_it(tmp_path: Path) -> None:
    """As the report names it."""
    folders = [run(tmp_path / "a"), run(tmp_path / "b")]
    report = json.loads((folders[1] / "report.json").read_text())
    for claim in report["claims"][:-1]:
        claim["adjacency"] = "replace_one"
    (folders[1] / "report.json").write_text(json.dumps(report))
    assert len(compare(folders).axes) == 2


def test_an_observer_whom_all_have_in_common_is_found_or_chosen(tmp_path: Path) -> None:
    """The one who learns most by itself; one who is promised nothing cannot be chosen."""
    folders = [run(tmp_path / "a"), run(tmp_path / "b", observers=(MODELS,))]
    [axis] = compare(folders).axes
    assert axis.basis.observer == MODELS
    [axis] = compare([folders[0]], against=MODELS).axes
    assert axis.basis.observer == MODELS
    with pytest.raises(ConfigurationError, match=rf"b promises nothing .*'{SERVER}'.*: {MODELS}"):
        compare(folders, against=SERVER)
    folders.append(run(tmp_path / "c", observers=(MODELS,), delta=1e-3))
    assert [axis.basis.observer for axis in compare(folders, against=MODELS).axes] == [MODELS] * 2


def test_a_run_without_privacy_is_a_level_to_compare_with(tmp_path: Path) -> None:
    """It is on no axis, and said to be without."""
    found = compare([run(tmp_path / "a"), run(tmp_path / "plain", unit="none")])
    assert len(found.axes) == 1
    assert found.axis_of(found.runs[1]) is None
    assert "No differential privacy: plain." in found.notes
    assert "plain: no privacy" in compare_page(found)
    _, rows = table_of(found)
    assert rows[1][1:3] == ["nobody", "not bounded"]
    alone = compare([tmp_path / "plain"])
    assert alone.axes == []
    assert "accuracy against epsilon" not in drawn(alone)


def test_a_run_under_way_is_compared_by_what_it_plans(tmp_path: Path) -> None:
    """Of the worst observer; before its first round there is nothing to draw of it."""
    begun = put(tmp_path / "begun", events(0))
    going = put(tmp_path / "going", events(2))
    opened = put(tmp_path / "opened", events(0)[:1])
    found = compare([begun, going, opened])
    [axis] = found.axes
    assert axis.basis.observer == SERVER
    assert found.runs[1].final(axis.basis) == pytest.approx(0.2)
    assert "Not finished: begun (stopped), going (stopped), opened (stopped)." in found.notes
    _, rows = table_of(found)
    assert [row[2] for row in rows] == ["no round done", "0.20 of 8.00", "no round done"]
    assert [row[1] for row in rows] == ["one record", "one record", "–"]  # noqa: RUF001 - a dash
    assert not any("No differential privacy" in note for note in found.notes)
    assert rows[2][-2] == "0 of 0"
    assert drawn(compare([begun])) == []


def test_what_else_a_reader_must_know_is_said(tmp_path: Path) -> None:
    """Other tasks, seeds."""
    opened, begun, *rounds = events(2)
    assert isinstance(begun, RunStarted)
    put(tmp_path / "a", [opened, replace(begun, task="other", seeded=True), *rounds])
    put(tmp_path / "b", [opened, begun, *rounds])
    notes = compare([tmp_path / "a", tmp_path / "b"]).notes
    assert any("different tasks" in note for note in notes)
    assert "Seeded, so that no guarantee holds for real data: a." in notes


@pytest.mark.parametrize(
    ("first", "second", "wanted", "found"),
    [
        ({}, {}, "", "accuracy"),
        ({}, {}, "recall", "recall"),
        ({"accuracy": None}, {"accuracy": None}, "", "recall"),
        ({"accuracy": None, "metrics": {}}, {}, "", "accuracy"),
        ({"accuracy": None, "metrics": {"r": 1.0}}, {"accuracy": None, "metrics": {}}, "", "loss"),
        (AT_SITES, AT_SITES, "", "private_accuracy"),
        ({}, {}, "loss", "loss"),
    ],
)  # fmt: skip
def test_utility_is_what_all_measured(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], wanted: str, found: str
) -> None:
    """Accuracy where there is one; else what all have in common; else the loss."""
    folders = [run(tmp_path / "a", **first), run(tmp_path / "b", **second)]
    chosen = compare(folders, metric=wanted)
    assert chosen.metric == found
    headings, rows = table_of(chosen)
    assert all(len(row) == len(headings) for row in rows)
    assert drawn(chosen)[0] == f"{found} against epsilon"


def test_a_metric_that_nobody_measured_is_refused(tmp_path: Path) -> None:
    """What was is said."""
    with pytest.raises(ConfigurationError, match=r"no run measured 'f1'; .*accuracy, loss, recall"):
        compare([run(tmp_path / "a")], metric="f1")


def test_runs_are_told_apart_by_their_paths_where_names_are_alike(tmp_path: Path) -> None:
    """The same one twice, or more than there are styles, is refused."""
    folders = [run(tmp_path / "x" / "a"), run(tmp_path / "y" / "a")]
    assert [r.name for r in compare(folders).runs] == [str(folder) for folder in folders]
    with pytest.raises(ConfigurationError, match="each run once"):
        compare([folders[0], folders[0]])
    many = [tmp_path / str(number) for number in range(MOST_RUNS + 1)]
    with pytest.raises(ConfigurationError, match="at most 12"):
        compare(many)


@pytest.mark.parametrize("content", ["no json", "[]", '{"claims": [{"epsilon": 1}]}'])
def test_a_report_of_another_form_is_a_state_error(tmp_path: Path, content: str) -> None:
    """It says which."""
    folder = run(tmp_path / "a")
    (folder / "report.json").write_text(content)
    with pytest.raises(StateError, match=r"report\.json, got one of another form"):
        compare([folder])


def test_budgets_far_away_are_said_and_not_drawn(tmp_path: Path) -> None:
    """The curves would be pressed flat; near ones are lines."""
    text = compare_page(compare([run(tmp_path / "a"), run(tmp_path / "b", epsilon_budget=2.0)]))
    assert "budget 2</li>" in text
    assert "Not drawn, since far to the right: budget 8." in text


def test_the_page_runs_nothing_and_escapes_every_name(tmp_path: Path) -> None:
    """Of runs and metrics."""
    folder = run(tmp_path / "<b>run", metrics={EVIL: 0.5})
    text = compare_page(compare([folder], metric=EVIL))
    found = Tags(text)
    assert found.open == []
    assert "script" not in found.names
    assert "<b>run" not in text
    assert "style" not in found.attributes


def test_the_command_prints_a_table_and_writes_a_page(
    murmura: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Beside the first run, or where it is wanted; with --json the numbers."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    folders = [run(tmp_path / "a"), run(tmp_path / "b", unit="client")]
    assert murmura("compare", *folders, "--open") == 0
    out = capsys.readouterr().out
    assert "1.50 of 8.00" in out
    assert "one client" in out
    assert "not comparable" in out
    page = tmp_path / "compare.html"
    assert f"page: {page}" in out
    assert opened == [page.as_uri()]
    assert murmura("compare", *folders, "--json", "--out", tmp_path / "p.html") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["page"] == str(tmp_path / "p.html")
    assert [(a["unit"], a["observer"], a["epsilon"]) for a in told["axes"]] == [
        ("record", SERVER, {"a": 1.5}), ("client", SERVER, {"b": 1.5}),
    ]  # fmt: skip
    assert [r["run"] for r in told["runs"]] == ["a", "b"]
    assert murmura("compare", tmp_path / "none") == 5


@pytest.mark.parametrize("columns", [50, 80, 200])
def test_a_name_is_never_folded(
    murmura: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
) -> None:
    """Where a table with names is too wide they stand above it, by number; no figure is cut."""
    monkeypatch.setenv("COLUMNS", str(columns))
    names = ["20261127-033156-digits-2214", "20261127-033223-digits-de4b"]
    assert murmura("compare", *[run(tmp_path / name, bytes_up=123_456_789) for name in names]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    first = [line for line in lines if names[0] in line]
    if columns == 200:
        assert [line[:3] for line in first] == [[names[0], "one", "record"], [names[0], "–", "123"]]  # noqa: RUF001 - a dash
    else:
        assert first == [["1", names[0]]]
        assert ["2", names[1]] in lines
        rows = [line for line in lines if line[:1] == ["1"] and names[0] not in line]
        assert [line[:2] for line in rows] == [["1", "one"], ["1", "–"]]  # noqa: RUF001 - a dash
    assert sum("1.50" in line for line in lines) == 2
    assert sum("0.667" in line for line in lines) == 2


def test_bytes_are_told_a_round_and_in_all(
    murmura: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Down, then up; not where a round has none, for a part of the sum would look cheap."""
    counted = run(tmp_path / "a", bytes_down=2_000_000, bytes_up=1500)
    plain = run(tmp_path / "b")
    rows = [["a", "2.0 MB", "1.5 kB", "6.0 MB", "4.5 kB"], ["b", "–", "–", "–", "–"]]  # noqa: RUF001
    found = compare([counted, plain])
    assert traffic_of(found)[1] == rows
    assert "What messages to all clients" in compare_page(found)
    assert "accuracy by megabytes" not in drawn(found)
    assert "accuracy by megabytes" in drawn(compare([counted]))
    told = found.runs[0].course.to_json()
    assert (told["bytes_down"], told["bytes_up"]) == (6_000_000, 4500)
    assert murmura("compare", counted) == 0
    assert "6.0 MB" in capsys.readouterr().out
    put(counted, [events(5)[-1]])
    assert traffic_of(compare([counted]))[1] == []
    assert "What messages to all clients" not in compare_page(compare([counted]))


def test_an_unbounded_claim_of_a_plan_is_no_basis(tmp_path: Path) -> None:
    """A run without privacy that is under way."""
    opened, begun, *rounds = events(1, epsilon=math.inf)
    assert isinstance(begun, RunStarted)
    put(tmp_path, [opened, replace(begun, planned_claims=claims_of(privacy__unit="none")), *rounds])
    [only] = compare([tmp_path]).runs
    assert (only.spent, only.budget) == ({}, None)
