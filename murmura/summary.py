"""What a finished run comes to, for the terminal: the verdict, each observer's bound, the files."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from murmura.wording import (
    OBSERVERS,
    UNITS,
    Signs,
    duration_text,
    epsilon_text,
    number,
    score_text,
    signs_for,
)
from shared.counting import counted

_STYLES = {
    "guaranteed": "bold green",
    "guaranteed_with_assumptions": "bold green",
    "inconclusive": "bold yellow",
    "not_private": "bold red",
}
_FILES = (
    ("model.safetensors", "the trained model"),
    ("report.html", "the privacy report, to read"),
    ("report.json", "the same numbers, for programs"),
    ("holdings.html", "who held what"),
    ("tensorboard", "tensorboard --logdir shows the rounds"),
)


def print_summary(console: Console, folder: Path, summary: Mapping[str, Any]) -> None:
    """Print what `summary`, the content of `folder`'s summary.json, says.

    Args:
        console: Where to.
        folder: The run folder.
        summary: Its `summary.json`.
    """
    signs = signs_for(console.encoding)
    console.print()
    console.print(_verdict(summary))
    console.print(_claims_table(summary["claims"], signs))
    console.print(_facts(summary, signs))
    console.print(_places(folder))


def _verdict(summary: Mapping[str, Any]) -> Text:
    verdict = summary["verdict"]
    style = _STYLES.get(verdict["level"], "bold")
    level = verdict["level"].replace("_", " ")
    return Text.assemble((f" {level} ", f"{style} reverse"), " ", verdict["one_line"])


def _claims_table(claims: list[Mapping[str, Any]], signs: Signs) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", pad_edge=False)
    table.add_column("against", overflow="fold")
    table.add_column("protects", overflow="fold")
    for heading in (signs.epsilon, signs.delta, f"{signs.epsilon} un-\namplified", "budget"):
        table.add_column(heading, justify="right", overflow="fold")
    for claim in claims:
        epsilon = number(claim["epsilon"])
        open_to = epsilon is None or math.isinf(epsilon)
        table.add_row(
            OBSERVERS.get(claim["adversary"], claim["adversary"]),
            UNITS["none" if open_to else claim["unit"]],
            Text(epsilon_text(epsilon, signs), "red" if open_to else "bold"),
            f"{claim['delta']:g}",
            epsilon_text(claim.get("no_amplification_epsilon"), signs),
            epsilon_text(claim.get("budget_epsilon"), signs),
        )
    return table


def _facts(summary: Mapping[str, Any], signs: Signs) -> Text:
    lost = summary["clients_lost"]
    measured = summary.get("measured_epsilon")
    audit = [] if measured is None else [f"measured {signs.epsilon} at least {measured:.2f} (95 %)"]
    parts = [
        *audit,
        f"accuracy {score_text(summary.get('accuracy'), signs)}",
        f"{counted(summary['rounds'], 'round')} in {duration_text(summary['seconds'])}",
        f"{counted(lost, 'answer')} lost (log.txt says why)" if lost else "no answer lost",
    ]
    return Text(f" {signs.dot} ").join(Text(part) for part in parts)


def _places(folder: Path) -> Table:
    """The run folder, and of its files those that are there."""
    grid = Table.grid(padding=(0, 2))
    grid.add_row(Text("results", "bold"), Text(str(folder), overflow="fold"))
    for name, meaning in _FILES:
        if (folder / name).exists():
            grid.add_row(Text(f"  {name}", "cyan"), Text(meaning, "dim"))
    return grid
