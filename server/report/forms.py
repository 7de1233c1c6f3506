"""Every form of a report, by its name."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from server.report.html import html
from server.report.markdown import markdown
from server.report.registry import registry_yaml
from server.report.terminal import report_lines
from server.run_folder import RunFolder

FORMS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "terminal": lambda report: "\n".join(report_lines(report)) + "\n",
    "html": html,
    "markdown": markdown,
    "json": lambda report: json.dumps(report, indent=1) + "\n",
    "registry": registry_yaml,
}
_WRITTEN = {"report.html": "html", "report.md": "markdown"}


def write_forms(folder: RunFolder, report: Mapping[str, Any]) -> None:
    """Write the page and the markdown beside report.json."""
    for name, form in _WRITTEN.items():
        folder.write(name, FORMS[form](report).encode())
