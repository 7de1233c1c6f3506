"""docs/sites.md: every command and key in it is one."""

import re
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import typer

from client.policy import SitePolicy
from client.site_settings import WorkerSettings
from murmura.client import app

PAGE = (Path(__file__).parents[2] / "docs" / "sites.md").read_text()
COMMANDS: Any = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def options(verb: str) -> set[str]:
    """Of one command."""
    return {name for option in COMMANDS[verb].params for name in option.opts}


def test_every_command_of_the_page_is_one() -> None:
    """With the options that it is shown with."""
    shown = re.findall(r"murmura client ([a-z]+)([^\n`]*)", PAGE)
    assert {verb for verb, _ in shown} == set(COMMANDS)
    for verb, rest in shown:
        used = set(re.findall(r"--[a-z-]+", rest.partition("#")[0]))
        assert used <= options(verb), verb


def test_the_options_of_joining_are_all_explained() -> None:
    """But for the form of the output."""
    section = PAGE.partition("## Joining")[2].partition("## ")[0]
    named = set(re.findall(r"--[a-z][a-z-]+", section))
    assert named == {name for name in options("join") if name.startswith("--")} - {
        "--json",
        "--help",
    }


@pytest.mark.parametrize(("table", "kind"), [("policy", SitePolicy), ("worker", WorkerSettings)])
def test_every_key_of_site_toml_is_explained_with_its_default(table: str, kind: type[Any]) -> None:
    """In the order of the code."""
    section = PAGE.partition(f"| `[{table}]`")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `([a-z_]+)` \| `([^`]*)`", section, flags=re.MULTILINE)
    found = [(name, tomllib.loads(f"x = {value}")["x"]) for name, value in rows]
    expected = [
        (spec.name, list(spec.default) if isinstance(spec.default, tuple) else spec.default)
        for spec in fields(kind)
        if spec.default is not MISSING
    ]
    assert found == expected
