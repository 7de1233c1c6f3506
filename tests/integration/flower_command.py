"""Flower's own command in this process: one of its own takes over a second for each command."""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack, chdir
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

from flwr.cli.app import app
from typer.main import get_command


def flower_command(
    *words: str, environment: Mapping[str, str], folder: Path | None = None
) -> dict[str, Any]:
    """The object that `flwr ... --format json` prints; nothing of a command that prints none.

    Args:
        words: Of the command.
        environment: Added to this process' as long as it takes.
        folder: Where it is typed.
    """
    said = StringIO()
    with ExitStack() as changes:
        changes.enter_context(chdir(folder or Path.cwd()))
        changes.enter_context(patch.dict(os.environ, environment))
        # Flower looks there for whether JSON is asked for, and writes it past what captures.
        changes.enter_context(patch.object(sys, "argv", ["flwr", *words]))
        for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
            changes.enter_context(patch.object(sys, name, said))
        status = get_command(app).main(list(words), prog_name="flwr", standalone_mode=False)
    assert not status, f"{words}: {status}, {said.getvalue()}"
    if "json" not in words:
        return {}
    answer: dict[str, Any] = json.loads(said.getvalue())
    assert answer.get("success", True), answer
    return answer
