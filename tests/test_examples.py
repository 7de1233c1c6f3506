"""The settings under examples/tasks can be run: known keys, a plan within its budget."""

import re
from pathlib import Path

import pytest

from murmura.holdings import draw_holdings
from murmura.settings import layered, read_file
from shared.config import RunConfig
from shared.dp.claims import check_budget
from shared.dp.mechanisms import NoPrivacy
from shared.dp.plan import PrivacyPlan
from shared.tasks import BUILT_IN
from tests.test_packaging import ROOT

FOLDER = Path(__file__).parents[1] / "examples" / "tasks"
FILES = sorted(FOLDER.glob("*.toml"))


@pytest.mark.slow
@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_an_example_is_a_run_within_its_budget(path: Path) -> None:
    """Of a task that is built in; -plain is without privacy, and no other is."""
    config = RunConfig.from_run_config(read_file(path))
    plan = PrivacyPlan.from_config(config)
    assert config.task in BUILT_IN
    assert isinstance(plan.mechanism, NoPrivacy) == path.stem.endswith("-plain")
    check_budget(plan)


@pytest.mark.slow
def test_what_the_quick_start_passes_on_can_be_run(tmp_path: Path) -> None:
    """The task has as many examples as the clients are to hold, and the plan is within budget."""
    passed_on = re.findall(r'make simulate ARGS="([^"]+)"', (ROOT / "README.md").read_text())
    assert passed_on
    for text in passed_on:
        words = re.sub(r"--(task|rounds) ", r"-c \1=", text).split()
        assert set(words[::2]) == {"-c"}
        config = layered(None, words[1::2], {}).config()
        check_budget(PrivacyPlan.from_config(config))
        assert draw_holdings(config, tmp_path / "holdings.html")


def test_the_table_of_tasks_says_what_the_results_say() -> None:
    """Unit, score, epsilon with its delta, and seconds of every row."""
    rows = [row for row in _rows("README.md") if " at (" in row[-2]]
    results = {row[0]: row for row in _rows("docs/results.md") if " at (" in row[-2]}
    assert len(rows) > 15
    for name, _, unit, plain, private, seconds in rows:
        found = results[name]
        assert found[2].startswith(f"{unit}, ")
        assert (_number(found[4]), found[-1]) == (_number(plain), seconds)
        score, promise = private.split(" at ")
        expected = found[5].split(" at ")
        assert _number(score) == _number(expected[0]), name
        assert _pair(promise) == _pair(expected[1]), name


def _rows(page: str) -> list[list[str]]:
    lines = (ROOT / page).read_text().splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:3] == "| `"]


def _number(text: str) -> str:
    return text if text == "-" else f"{float(text):.2f}"


def _pair(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.strip("()").split(", ")))


def test_every_task_has_an_example_or_is_the_quick_start_s() -> None:
    """Private and plain."""
    of_task = {read_file(path)["task"] for path in FILES}
    assert set(BUILT_IN) - of_task <= {"fashion_mnist", "digits", "hub_images"}
    plain = {path.stem.removesuffix("-plain") for path in FILES if path.stem.endswith("-plain")}
    private = {path.stem for path in FILES if not path.stem.endswith("-plain")}
    assert plain <= private
