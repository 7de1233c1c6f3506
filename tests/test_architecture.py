"""The house: who may import whom (docs/adr/0002)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "shared": {"shared"},
    "client": {"client", "shared"},
    "server": {"server", "shared"},
    "simulations": {"simulations", "client", "server", "shared"},
}


def imported_packages(path: Path) -> set[str]:
    """Top-level names that `path` imports, wherever the import stands in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_downwards(package: str) -> None:
    """shared <- client, server <- simulations; client and server never meet."""
    for path in (ROOT / package).rglob("*.py"):
        assert imported_packages(path) & MAY_IMPORT.keys() <= MAY_IMPORT[package], path
