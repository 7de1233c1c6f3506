"""What the terminal says at the end."""

from pathlib import Path

import pytest

from murmura.summary import print_summary
from tests.murmura.scripted import console, lines_within, printed, summary


def shown(folder: Path, content: dict[str, object], **kind: object) -> str:
    """The summary as text."""
    target = console(**kind)  # type: ignore[arg-type]
    print_summary(target, folder, content)
    return printed(target)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_summary_fits_any_width_and_encoding(width: int, encoding: str) -> None:
    """No line is longer than the terminal is wide; every number is there."""
    text = shown(Path("runs/x"), summary(), width=width, encoding=encoding)
    assert lines_within(text, width)
    for number in ("7.42", "61.20", "8.00", "84.2 %"):
        assert number in text


def test_every_observer_has_a_line_with_what_it_can_learn() -> None:
    """The bound, the bound without amplification, the budget; an unbounded one protects nobody."""
    lines = shown(Path("runs/x"), summary()).splitlines()
    server = next(line for line in lines if "server, sees each update" in line)
    assert server.split()[-5:] == ["record", "7.42", "1e-05", "61.20", "8.00"]
    model = next(line for line in lines if "holder of the final model" in line)
    assert model.split()[-5:] == ["nobody", "∞", "1e-05", "∞", "8.00"]


def test_only_files_that_are_there_are_listed(tmp_path: Path) -> None:
    """Nobody is sent to a file that was not written."""
    (tmp_path / "model.safetensors").touch()
    (tmp_path / "report.html").touch()
    text = shown(tmp_path, summary(), width=200)
    assert str(tmp_path) in text
    assert "model.safetensors" in text
    assert "report.html" in text
    assert "report.json" not in text


def test_the_server_s_verdict_is_shown_as_it_is() -> None:
    """Level and sentence."""
    verdict = {"level": "inconclusive", "one_line": "an assumption was not checked"}
    assert "inconclusive  an assumption was not checked" in shown(
        Path("x"), summary(verdict=verdict)
    )


def test_lost_answers_and_missing_scores_are_not_hidden() -> None:
    """No loss is said so; no accuracy is a dash."""
    text = shown(Path("x"), summary(clients_lost=0, accuracy=None))
    assert "no answer lost" in text
    assert "1 answer lost (log.txt says why)" in shown(Path("x"), summary(clients_lost=1))
    assert "accuracy –" in text  # noqa: RUF001 - the sign that is printed
