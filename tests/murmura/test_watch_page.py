"""The page shows what there is, escapes every text, and lets no script but its own run."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from murmura.course import Course
from murmura.page_frame import (
    MORE_DARK,
    MORE_LIGHT,
    PAGE_STYLE,
    STYLES,
    chart,
    policy,
    rounds_axis,
    value_axis,
)
from murmura.watch_page import parts, whole
from server.progress import RunStarted
from server.report.charts import Line
from server.report.style import DARK, LIGHT
from server.run_folder import RunFolder
from tests.murmura.watched import EVIL, claims_of, events, failed, finished, put
from tests.server.report.test_html import contrast


class Tags(HTMLParser):
    """Names of all elements, and of all attributes, of a page; every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element."""
        self.names.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag not in {"meta", "link"} and not self.get_starttag_text().endswith("/>"):  # type: ignore[union-attr]
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Its end."""
        if tag not in {"rect", "path", "circle", "polyline"} or self.open[-1] == tag:
            assert self.open.pop() == tag


def test_the_page_has_a_chart_of_everything_measured(tmp_path: Path) -> None:
    """Of the task's other metrics too; it asks for nothing and runs nothing."""
    text = whole(Course(put(tmp_path / "run", events())).look())
    charts = re.findall(r"<figcaption[^>]*>([^<]*)<", text)
    assert charts == [
        "Loss", "Accuracy", "Epsilon against its budget", "Clients", "Seconds a round", "recall",
    ]  # fmt: skip
    found = Tags(text)
    assert found.open == []
    assert "script" not in found.names
    assert not {"style", "src", "onclick", "onload"} & set(found.attributes)
    assert "http" not in re.sub(r'<meta http-equiv="Content-Security-Policy"', "", text)
    assert "<dt>rounds</dt><dd>3 of 5</dd>" in text
    assert "<dt>answers lost in all</dt><dd>3</dd>" in text
    assert "3 answers lost in all." in text
    assert "1 answer lost in all." in whole(Course(put(tmp_path / "one", events(1))).look())


def test_every_name_is_escaped(tmp_path: Path) -> None:
    """Of the task, the model, a metric, an error, the folder."""
    opened, begun, *rounds = events(2, metrics={EVIL: 0.5})
    assert isinstance(begun, RunStarted)
    folder = tmp_path / "<b>run"
    put(folder, [opened, replace(begun, task=EVIL, model=EVIL), *rounds])
    for text in (whole(Course(folder).look()), whole(Course(failed(tmp_path / "f")).look())):
        assert "<script" not in text
        assert "alert(" in text
        assert "<b>run" not in text


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        ("none", "No differential privacy"),
        ("client", "one client, zero out, against whoever sees every global model"),
    ],
)
def test_the_promise_is_said(tmp_path: Path, unit: str, said: str) -> None:
    """And that there is none, and that a seed voids it."""
    opened, begun, *_ = events(0)
    assert isinstance(begun, RunStarted)
    begun = replace(begun, planned_claims=claims_of(privacy__unit=unit), seeded=True)
    rounds = events(2, epsilon=math.inf if unit == "none" else 1.0, rejected=1)[2:]
    text = whole(Course(put(tmp_path, [opened, begun, *rounds])).look())
    assert said in text
    assert "Seeded randomness: no guarantee" in text
    assert ("<dd>not bounded</dd>" in text) == (unit == "none")
    assert ("Epsilon against its budget" in text) == (unit == "client")
    assert "<dt>rejected in all</dt><dd>2</dd>" in text


@pytest.mark.parametrize(("epsilon", "said"), [(0.1, False), (1e3, True)])
def test_more_than_was_planned_is_explained(tmp_path: Path, epsilon: float, said: bool) -> None:
    """Two figures of epsilon that differ would look like a mistake."""
    text = whole(Course(put(tmp_path, events(2, epsilon=epsilon))).look())
    assert ("a round that is repeated is charged again" in text) == said


def test_a_run_that_has_done_nothing_yet_has_a_page(tmp_path: Path) -> None:
    """Before it begins, and before its first round."""
    for count, told in ((1, events(0)[:1]), (2, events(0)[1:])):
        text = whole(Course(put(tmp_path, told)).look())
        assert "<dd>none yet</dd>" in text, count
        assert "<svg" not in text


def test_a_run_under_way_says_how_long_it_takes(tmp_path: Path) -> None:
    """By the mean of its last rounds; one that is over does not."""
    course = Course(put(tmp_path, events())).look()
    with RunFolder(tmp_path).held():
        assert "<dt>time left, about</dt><dd>4.0 s</dd>" in parts(course)["facts"]
    assert "time left" not in parts(course)["facts"]


def test_figures_of_sites_are_beside_those_of_public_data(tmp_path: Path) -> None:
    """Alone, where nothing is measured on public data; a far budget is not drawn."""
    told = events(2, loss=None, accuracy=None, private_loss=0.7, metrics={}, epsilon_budget=99.0)
    text = whole(Course(finished(tmp_path, told)).look())
    assert "at the sites, with noise" in text
    assert "loss, public data" not in text
    assert "<figcaption" in text
    assert ">Accuracy<" not in text
    assert "the budget is 99." in text
    assert '"line warn"' not in text.partition("Epsilon against its budget</figcaption>")[2][:3000]


def test_long_curves_are_thinned_and_say_so() -> None:
    """The last point is always there."""
    points = [(float(n), 1.0) for n in range(1, 1002)]
    text = chart("t", "d.", [Line(name="a", points=points, style="first")], rounds_axis(1001.0),
                 value_axis("v", [1.0]))  # fmt: skip
    assert "One round in 3 is drawn, and the last." in text
    assert text.count('class="place"') == 335
    assert "<td>1001</td>" in text
    assert chart("t", "d.", [], rounds_axis(0.0), value_axis("v", [])) == ""


@pytest.mark.parametrize(
    ("values", "share", "ends"),
    [
        ([0.2, 0.4], True, (0.0, 1.0)),
        ([0.0, 10.0], False, (0.0, 10.5)),
        ([-2.0, 2.0], True, (-2.2, 2.2)),
        ([0.0], False, (0.0, 1.0)),
        ([], False, (0.0, 1.0)),
        ([-1e308, 1e308], False, (-1e308, 1e308)),
    ],
)
def test_an_axis_has_room_for_all(
    values: list[float], share: bool, ends: tuple[float, float]
) -> None:
    """Zero is on it, and it has a length."""
    axis = value_axis("v", values, share=share)
    assert (axis.low, axis.high) == pytest.approx(ends)


def test_the_policy_names_style_and_script_by_their_hashes() -> None:
    """Nothing else may run; without a script none may."""
    assert "script-src" not in policy()
    assert "unsafe" not in policy(script="1;")
    assert policy(script="1;") != policy(script="2;")
    assert policy().startswith("default-src 'none'; style-src 'sha256-")


def test_more_lines_can_be_told_apart() -> None:
    """Twelve styles; their colours can be read on both backgrounds."""
    assert len(set(STYLES)) == 12
    for colours, ground in ((MORE_LIGHT, LIGHT), (MORE_DARK, DARK)):
        for name, colour in colours.items():
            assert contrast(colour, ground["paper"]) >= 4.5, name
            assert contrast(colour, ground["panel"]) >= 4.5, name
            assert f".line.{name}{{stroke:{colour}}}" in PAGE_STYLE
