"""`murmura export`: a file beside the run, or nothing."""

import json
from pathlib import Path

import pytest

from server.report.verify import report_digest
from tests.looking_tasks import REPORT, Table, saved, task_of
from tests.murmura.conftest import Command
from tests.shared.test_exporting import ONNX_WARNINGS


@ONNX_WARNINGS
@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "name"),
    [("safetensors", "exported.safetensors"), ("torch", "exported.pt2"),
     ("onnx", "exported.onnx"), ("int8", "exported.int8.onnx")],
)  # fmt: skip
def test_each_form_is_written_with_the_digest_of_the_report(
    murmura: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str, name: str
) -> None:
    """Into the run folder; nothing but the result is printed."""
    run = saved(tmp_path / "run", Table)
    before = {path.name for path in run.iterdir()}
    arguments = ("export", run, "--format", form, "--task", task_of(Table))
    assert murmura(*arguments, "--json") == 0
    told = capsys.readouterr()
    content = json.loads(told.out)
    assert told.err == ""
    assert content["file"] == str(run / name)
    assert content["metadata"]["report_digest"] == report_digest(REPORT)
    assert {path.name for path in run.iterdir()} == before | {name}


def test_where_it_goes_can_be_said(
    murmura: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people: the file, and how far its outputs are off."""
    run = saved(tmp_path / "run", Table)
    out = tmp_path / "out.safetensors"
    assert murmura("export", run, "--task", task_of(Table), "--out", out) == 0
    assert f"{out}: {out.stat().st_size:,} bytes" in capsys.readouterr().out


def test_a_run_without_its_own_report_is_not_exported(
    murmura: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file alone has none; another report has another digest; neither has a damaged one."""
    run = saved(tmp_path / "run", Table)
    assert murmura("export", run / "model.safetensors", "--task", task_of(Table)) == 2
    for content in ("{}", "[]", "{"):
        (run / "report.json").write_text(content)
        assert murmura("export", run, "--task", task_of(Table)) == 5
    told = capsys.readouterr().err
    for expected in ("needs a run folder", "that the run ended with", "JSON object", "finished"):
        assert expected in told
