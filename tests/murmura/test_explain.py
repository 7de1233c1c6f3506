"""`murmura explain`: a picture and a page, of public records by default, escaped and offline."""

import json
import re
import stat
import sys
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.looking_tasks import Pictures, Planted, Table, Texts, saved, task_of
from tests.murmura.conftest import Command

VOID = {"meta", "img", "br"}


class Balanced(HTMLParser):
    """Refuses a page whose tags do not close in order; collects what it names."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Opens."""
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Closes the last."""
        assert self.open.pop() == tag


def parsed(page: str) -> Balanced:
    """The page, which must be whole."""
    found = Balanced()
    found.feed(page)
    assert found.open == []
    return found


@pytest.mark.no_cover
@pytest.mark.parametrize(("kind", "methods"), [(Pictures, 5), (Table, 4), (Texts, 4)])
def test_a_picture_and_a_page_are_written(
    murmura: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: type[Planted],
    methods: int,
) -> None:
    """Beside the run; self-contained, without a script; nothing on stderr."""
    run = saved(tmp_path / "run", kind)
    arguments = ("explain", run, "--task", task_of(kind), "--records", "2")
    assert murmura(*arguments, "--json") == 0
    told = capsys.readouterr()
    content = json.loads(told.out)
    assert told.err == ""
    assert not content["private"]
    assert [len(entry["strongest"]) for entry in content["records"]] == [methods, methods]
    drawn = np.asarray(Image.open(content["picture"]).convert("RGB"))
    assert drawn.std() > 5.0  # not an empty sheet
    page = Path(content["page"]).read_text()
    found = parsed(page)
    assert "script" not in found.tags
    assert all(source.startswith(("data:image/png;base64,", "#")) for source in found.sources)
    assert not re.findall(r"https?://", page)
    assert "Public records" in page
    assert "for one record, add or remove one, against the holder of the final model" in page
    assert ("&lt;plain&gt; &amp; dull" in page) == (kind is Pictures)
    assert "<plain>" not in page
    for source in found.sources:
        if source.startswith("data:"):
            Image.open(BytesIO(b64decode(source.partition(",")[2]))).verify()


def test_the_text_form_names_files_and_records(
    murmura: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One method, one record, another class, another folder."""
    run = saved(tmp_path / "run", Texts)
    arguments = ("explain", run / "model.safetensors", "--task", task_of(Texts), "--start", "1")
    chosen = ("--method", "saliency", "--records", "1", "--class", "0")
    assert murmura(*arguments, *chosen) == 0
    out = capsys.readouterr().out
    assert "record 1: 0 (" in out
    assert f"page: {run / 'explained' / 'explained.html'}" in out
    assert (
        "Integrated gradients add up to" not in (run / "explained" / "explained.html").read_text()
    )


def test_private_records_are_explained_at_the_site_and_warned_about(
    murmura: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never into the run folder by default; for the owner's eyes; the page says so itself."""
    run, out = saved(tmp_path / "run", Table), tmp_path / "mine"
    arguments = ("explain", run, "--task", task_of(Table), "--data", tmp_path)
    assert murmura(*arguments) == 2
    assert "--data needs --out" in capsys.readouterr().err
    assert not (run / "explained").exists()
    out.mkdir()
    (out / "explained.png").write_bytes(b"")
    assert murmura(*arguments, "--out", out, "--method", "saliency") == 0
    assert "must not leave" in " ".join(capsys.readouterr().err.split())
    assert "Private: must not leave this site" in (out / "explained.html").read_text()
    for name in ("explained.png", "explained.html"):
        assert stat.S_IMODE((out / name).stat().st_mode) == 0o600


def test_what_cannot_be_explained_exits_so(
    murmura: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records that are not there, a method that does not apply, a file as folder, no extra."""
    run = saved(tmp_path / "run", Table)
    arguments = ("explain", run, "--task", task_of(Table))
    assert murmura(*arguments, "--start", "99") == 2
    assert murmura(*arguments, "--method", "grad_cam") == 2
    quick = ("--method", "saliency", "--records", "1")
    assert murmura(*arguments, *quick, "--out", run / "config.json") == 5
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    assert murmura(*arguments) == 2
