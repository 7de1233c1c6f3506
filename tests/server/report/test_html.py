"""The page: self-contained, readable by anybody, on paper and in the dark."""

import itertools
import re
from html.parser import HTMLParser

import pytest

from server.report.html import html
from server.report.style import DARK, LIGHT, STYLE
from tests.server.report.outcomes import UNITS
from tests.server.report.reports import all_hostile, hostile, minimal, report


class Page(HTMLParser):
    """What a checker of accessibility looks at."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep each."""
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of every element of this name."""
        return [attributes for name, attributes in self.tags if name == tag]


def page(unit: str = "record") -> Page:
    """A report's page."""
    return Page(html(report(unit)))


@pytest.mark.parametrize("unit", UNITS)
def test_nothing_is_asked_of_any_other_place(unit: str) -> None:
    """No script, no style sheet, no picture, no font, no address."""
    content = html(report(unit))
    found = Page(content)
    assert not {name for name, _ in found.tags} & {"script", "link", "img", "iframe", "object"}
    for _, attributes in found.tags:
        for name in ("src", "href", "srcset", "action"):
            assert (attributes.get(name) or "#").startswith("#")
    assert not re.search(r"https?:|url\(|@import", content)
    assert len(content) < 300_000


@pytest.mark.parametrize("unit", UNITS)
def test_the_page_has_language_title_landmarks_and_one_heading_of_each_rank(unit: str) -> None:
    """Headings go down one step at a time; the first link leads past them."""
    found = page(unit)
    assert found.all("html") == [{"lang": "en"}]
    assert len(found.all("title")) >= 1
    assert len(found.all("main")) == len(found.all("h1")) == 1
    ranks = [int(name[1]) for name, _ in found.tags if re.fullmatch(r"h[1-6]", name)]
    assert all(after - before <= 1 for before, after in itertools.pairwise(ranks))
    assert found.all("a")[0]["href"] == "#main"
    assert any(meta.get("name") == "viewport" for meta in found.all("meta"))


@pytest.mark.parametrize("unit", UNITS)
def test_no_name_is_given_twice_and_every_reference_leads_somewhere(unit: str) -> None:
    """Else a screen reader reads the wrong one."""
    found = page(unit)
    names = [attributes["id"] for _, attributes in found.tags if attributes.get("id")]
    assert len(names) == len(set(names))
    for _, attributes in found.tags:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set((attributes.get(name) or "").split()) <= set(names)


@pytest.mark.parametrize("unit", UNITS)
def test_every_picture_has_a_title_and_every_table_a_caption(unit: str) -> None:
    """And column heads say what they head; what scrolls can be reached by keyboard."""
    found = page(unit)
    assert all(svg.get("role") == "img" and svg.get("aria-labelledby") for svg in found.all("svg"))
    assert len(found.all("desc")) == len(found.all("svg"))
    assert len(found.all("caption")) == len(found.all("table"))
    assert all(head.get("scope") in {"col", "row"} for head in found.all("th"))
    for region in [a for _, a in found.tags if a.get("class") == "wide"]:
        assert region["tabindex"] == "0"
        assert region["aria-label"]


def luminance(colour: str) -> float:
    """WCAG 2's relative luminance."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2's contrast ratio."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_every_colour_can_be_read_on_both_backgrounds(colours: dict[str, str]) -> None:
    """At least 4.5 to 1 for text, and 3 to 1 for bars on their track, as WCAG 2 AA asks."""
    for ground in ("paper", "panel"):
        for name in set(colours) - {"paper", "panel", "rule", "track"}:
            assert contrast(colours[name], colours[ground]) >= 4.5, (ground, name)
    for name in ("first", "second", "third", "warn", "bad", "ink"):
        assert contrast(colours[name], colours["track"]) >= 3.0, name
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert "prefers-color-scheme:dark" in STYLE
    assert "@media print" in STYLE


def test_a_long_number_beside_an_axis_is_not_cut() -> None:
    """In a narrow window letters are larger than the room left of an axis was made for."""
    assert re.search(r"(^|\n)svg\{[^}]*overflow:visible", STYLE)


def test_a_status_is_said_in_words_not_in_colour_alone() -> None:
    """For who sees no colours, and for print."""
    content = html(hostile())
    for word in ("critical", "assumed", "enforced", "passed"):
        assert re.search(f'<strong class="badge [a-z]+">{word}</strong>', content)
    assert (
        'aria-hidden="true"><span class="first" style="width:0.5%"></span></span>0.5 %' in content
    )


def test_without_privacy_there_is_no_epsilon_to_show() -> None:
    """And the label says so."""
    content = html(report("none"))
    assert "Not private" in content
    assert 'class="epsilon"' not in content
    assert '<strong class="bad">not bounded</strong>' in content


def test_a_number_that_is_void_does_not_look_like_a_promise() -> None:
    """A violated assumption leaves no scale and no attack terms."""
    content = report()
    claim = content["claims"][0]
    content["verdict"]["level"] = "not_private"
    label = re.search(r'(?s)<section class="label .*?</section>', html(content))
    assert label is not None
    assert f"Not to be relied on: ε ≤ {claim['epsilon']}" in label.group()
    assert not re.search('class="epsilon"|<svg|attack', label.group())


def test_who_is_not_bounded_is_named_in_the_label() -> None:
    """At client level the server sees each update."""
    label = re.search(r'(?s)<section class="label .*?</section>', html(report("client")))
    assert label is not None
    assert "Not against the server, which sees each update" in label.group()
    assert "every observer" not in label.group()


def test_the_label_says_promise_measurement_and_budget_side_by_side() -> None:
    """In words, and in the description of its scale."""
    content = report()
    claim, written = content["claims"][0], html(content)
    scale = re.search(r'<desc id="scale-desc">(.*?)</desc>', written)
    assert scale is not None
    assert scale.group(1) == (
        f"promised: ε ≤ {claim['epsilon']}; measured: ε ≥ 0.8765; "
        f"budget: ε {claim['budget_epsilon']}"
    )
    assert "measured: nothing yet" in html(content | {"audit": []})


def test_a_report_with_nothing_optional_is_a_page() -> None:
    """Reports of other versions and other makers have fewer fields."""
    content = minimal()
    found = Page(html(content))
    assert str(content["claims"][0]["epsilon"]) in html(content)
    assert len(found.all("svg")) < len(page().all("svg"))


def test_no_text_of_a_report_becomes_markup_wherever_it_stands() -> None:
    """Every text is hostile here; the page has the same elements and attributes as ever."""
    clean, attacked = Page(html(report())), Page(html(all_hostile()))
    assert [name for name, _ in attacked.tags] == [name for name, _ in clean.tags]
    assert [sorted(a) for _, a in attacked.tags] == [sorted(a) for _, a in clean.tags]


def test_most_clients_are_folded_away_and_all_are_there() -> None:
    """A thousand sites do not bury what follows."""
    content = report()
    one = content["clients"]["per_client"][0] | {"ledger_head": "abc"}
    content["clients"]["per_client"] = [one | {"client": f"s{k}"} for k in range(30)]
    written = html(content)
    assert "<summary>20 more</summary>" in written
    assert all(f">s{k}<" in written for k in range(30))
    assert "ledger head" in written
