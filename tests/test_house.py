"""The documents say what the code does: links, commands, keys, fields and references are real."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from shared.aggregation_messages import UnmaskMessage
from shared.config import Scalar, defaults
from shared.dp.claims import planned_claims
from shared.dp.plan import PrivacyPlan
from shared.messages import Enrolled, TrainInstruction, TrainReply
from shared.query_messages import QueryInstruction, QueryReply
from shared.wire import PROTOCOL_VERSION
from tests.test_packaging import pyproject

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
DECISIONS = sorted((DOCS / "adr").glob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
PARTS = ("**Context.**", "**Decision.**", "**Consequence.**", "**What would change our mind.**")
ONE_PAGE = 40
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_MAKE = re.compile(r"`?\bmake ([a-z]+)\b")


def page(name: str) -> str:
    """Text of one document."""
    return (DOCS / name).read_text()


def rows(text: str) -> list[list[str]]:
    """Cells of every row of every table, headings and rules left out."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def broken_links(path: Path, text: str) -> list[str]:
    """Relative links of the page at `path` that lead nowhere; of anchors, those of no heading."""
    broken = []
    for link in _LINK.findall(text):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        found = (path.parent / target) if target else path
        if not found.exists() or (anchor and anchor not in anchors(found.read_text())):
            broken.append(link)
    return broken


def anchors(text: str) -> set[str]:
    """What headings are linked as."""
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing_references(text: str) -> list[str]:
    """References `file` or `file::name` of the tables' cells that are not there."""
    missing = []
    for reference in re.findall(r"`((?:tests|shared|client|server)/[\w/]+\.py(?:::\w+)?)`", text):
        name, _, function = reference.partition("::")
        path = ROOT / name
        if not path.exists() or (function and f"def {function}(" not in path.read_text()):
            missing.append(reference)
    return missing


def unknown_commands(text: str) -> set[str]:
    """Targets that a page asks to be made and the Makefile does not know."""
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    quoted = " ".join(re.findall(r"```console.*?```|`[^`]+`", text, flags=re.DOTALL))
    return set(_MAKE.findall(quoted)) - targets


def written(value: Scalar) -> str:
    """A default as the table of keys shows it."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value!r}`"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    """To a file of this repository, and where it names a heading, to that."""
    assert broken_links(path, path.read_text()) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_that_is_shown_exists(path: Path) -> None:
    """`make x` is a target of the Makefile."""
    assert unknown_commands(path.read_text()) == set()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_reference_to_code_exists(path: Path) -> None:
    """A test that a page rests on cannot be renamed without it."""
    assert missing_references(path.read_text()) == []


def test_what_is_wrong_in_a_page_is_found() -> None:
    """The three checks above can fail."""
    assert broken_links(ROOT / "README.md", "[x](docs/nowhere.md)") == ["docs/nowhere.md"]
    assert broken_links(ROOT / "README.md", "[x](docs/privacy.md#nothing)") != []
    assert broken_links(ROOT / "README.md", "[x](docs/privacy.md#not-covered)") == []
    assert unknown_commands("`make coffee`") == {"coffee"}
    assert missing_references("`tests/test_house.py::test_nothing`") != []
    assert missing_references("`tests/nowhere.py`") != []


def test_every_pitfall_names_what_forbids_it() -> None:
    """A severity and at least one reference in each row."""
    found = [line for line in page("pitfalls.md").splitlines() if "::" in line]
    assert len(found) > 30
    for line in found:
        _, severity, forbidden_by = [cell.strip() for cell in line.strip("|").split("|")]
        assert severity in {"critical", "serious", "annoying"}, line
        assert "`tests/" in forbidden_by, line
    table = [line for line in page("pitfalls.md").splitlines() if line.startswith("| ")]
    assert len(table) == len(found) + 1  # the headings


def test_every_key_is_explained_with_its_default() -> None:
    """docs/configuration.md lists exactly the keys there are."""
    listed = {
        cells[0].strip("`"): cells[1] for cells in rows(page("configuration.md")) if len(cells) == 3
    }
    assert listed == {key: written(value) for key, value in defaults().items()}


def test_the_protocol_page_lists_every_field() -> None:
    """Of every message, and nothing that is in none."""
    assert page("protocol.md").startswith(f"# Protocol, version {PROTOCOL_VERSION}\n")
    listed = {cells[2].strip("`"): "".join(cells[3:]) for cells in rows(page("protocol.md"))[:7]}
    messages: tuple[Any, ...] = (
        Enrolled,
        TrainInstruction,
        TrainReply,
        QueryInstruction,
        QueryReply,
        UnmaskMessage,
    )
    for message in messages:
        named = set(re.findall(r"`(\w+)`", listed[message.__name__]))
        assert named == {field.name for field in fields(message)}


@pytest.mark.parametrize("unit", ["record", "client", "none"])
def test_every_observer_of_a_report_is_in_the_threat_model(unit: str) -> None:
    """docs/privacy.md says what each of them sees."""
    from shared.config import RunConfig

    plan = PrivacyPlan.from_config(RunConfig.from_run_config({"privacy.unit": unit}))
    for claim in planned_claims(plan):
        assert f"| `{claim.adversary}` |" in page("privacy.md")


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.name)
def test_a_decision_fits_on_a_page_and_has_its_four_parts(path: Path) -> None:
    """In their order."""
    text = path.read_text()
    places = [text.find(part) for part in PARTS]
    assert places[0] > 0
    assert places == sorted(places)
    assert len(text.splitlines()) <= ONE_PAGE
    assert text.startswith(f"# {path.name[:4]}: ")


def test_decisions_are_numbered_without_gaps() -> None:
    """And there are those that the code refers to."""
    numbers = [int(path.name[:4]) for path in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))
    referred = {
        int(number)
        for folder in ("client", "server", "shared", "simulations", "murmura", "tests")
        for path in (ROOT / folder).rglob("*.py")
        for number in re.findall(r"docs/adr/(\d{4})", path.read_text())
    }
    assert referred
    assert referred <= set(numbers)


def test_there_is_one_list_of_commands() -> None:
    """CI runs what a person runs; hooks too."""
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in script if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "make ci"]
    hooks = (ROOT / ".pre-commit-config.yaml").read_text()
    assert re.findall(r"repo: (.*)", hooks) == ["local"]
    assert set(re.findall(r"entry: (.*)", hooks)) == {"make fix", "make check"}


def test_the_readme_says_what_is_not_built() -> None:
    """A heading of its own, as long as there is something."""
    readme = (ROOT / "README.md").read_text()
    assert "## What is not built yet" in readme
    assert pyproject()["project"]["readme"] == "README.md"
