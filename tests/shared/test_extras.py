"""An error that names an extra names one that there is, by a command that adds it."""

import re
import tomllib
from pathlib import Path

from shared.extras import extra

ROOT = Path(__file__).parents[2]


def test_every_extra_that_an_error_names_can_be_installed() -> None:
    """Each call in the tree has the name of an extra of pyproject.toml."""
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    folders = ("shared", "client", "server", "simulations", "murmura")
    texts = [path.read_text() for folder in folders for path in (ROOT / folder).rglob("*.py")]
    named = {name for text in texts for name in re.findall(r"""needs? \{extra\(['"](\w+)""", text)}
    assert len(named) >= 7
    assert named <= known.keys()


def test_the_command_is_that_of_the_readme() -> None:
    """From the checkout, at the versions that are pinned; no index has the package."""
    command = extra("text,tables").partition("checkout, ")[2]
    assert f"`{command}`" in (ROOT / "README.md").read_text()
