"""`murmura prepare` shows counts, and writes a table without what was taken out."""

import csv
import json
from pathlib import Path

import pytest

from murmura.cli import main
from shared.preprocessing.site_key import SiteKey
from tests.shared.preprocessing.pipelines import made_folder


def test_counts_are_shown_and_the_cleaned_table_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No name, address, post code or day is in the file, which its owner alone can read."""
    folder = made_folder(tmp_path / "site")
    out = tmp_path / "clean.csv"
    assert main(["prepare", str(folder), "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "2 of 4 rows become examples" in shown
    assert "hash" in shown
    with out.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [set(row) for row in rows] == [{"patient", "age", "post", "seen", "note", "ill"}] * 4
    assert [row["post"] for row in rows] == ["10", "20", "10", "80"]
    assert [row["seen"] for row in rows] == ["2024-03", "2024-04", "", "2023-12"]
    assert not any("@" in row["note"] or row["patient"] in "123" for row in rows)
    assert out.stat().st_mode & 0o077 == 0


def test_a_key_is_made_where_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without one a table with hashes is refused, and the message says how."""
    folder = made_folder(tmp_path / "site")
    (folder / "site.key").unlink()
    assert main(["prepare", str(folder)]) != 0
    assert "--make-key" in capsys.readouterr().err
    assert main(["prepare", str(folder), "--make-key"]) == 0
    assert len(SiteKey(folder).bytes()) == 32
    shown = capsys.readouterr().out
    assert f"a new key, for nobody else: {folder / 'site.key'}" in shown
    assert SiteKey(folder).bytes().hex() not in shown
    assert main(["prepare", str(folder), "--make-key"]) == 5
    (folder / "site.key").unlink()
    (folder / "pipeline.toml").unlink()
    assert main(["prepare", str(folder), "--make-key"]) == 5
    assert not (folder / "site.key").exists()


def test_a_table_is_never_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so before it shows anything; as where there is no such folder."""
    folder = made_folder(tmp_path / "site")
    (tmp_path / "there").write_text("mine")
    assert main(["prepare", str(folder), "--out", str(tmp_path / "there")]) == 5
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == (
        "",
        f"error: expected no file at {tmp_path}/there yet, got one\n",
    )
    assert (tmp_path / "there").read_text() == "mine"
    assert main(["prepare", str(folder), "--out", str(tmp_path / "none" / "x")]) == 5
    assert "x cannot be written: No such file" in capsys.readouterr().err


def test_counts_are_one_object_for_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of each step and column; the same numbers."""
    folder = made_folder(tmp_path / "site")
    assert main(["prepare", str(folder), "--json", "--out", str(tmp_path / "t.csv")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["examples"]) == (4, 2)
    assert found["table"] == str(tmp_path / "t.csv")
    assert {"step": "drop", "column": "name", "cells": 4} in found["counts"]
