"""How far the newest run of a server is, from what its ServerApp writes into the run folder."""

import json
import math
from pathlib import Path
from typing import Any

_METRICS, _CONFIG = "metrics.jsonl", "config.json"
_TAIL = 1 << 16


def newest_run(runs: Path) -> dict[str, Any] | None:
    """Its name, rounds, survivors and spending after its last round; None before the first one.

    A folder that is being written, or of another form, counts as none: this is for looking at.
    """
    found = sorted(runs.glob(f"*/{_METRICS}"), key=_written, reverse=True)
    for path in found[:1]:
        try:
            last = _last_line(path)
            config = json.loads((path.parent / _CONFIG).read_bytes())
            epsilon = float(last["epsilon"])
            found_run = {
                "run": path.parent.name,
                "round": int(last["round"]),
                "rounds": int(config["rounds"]["value"]),
                "asked": int(last["asked"]),
                "survivors": int(last["answered"]),
                "epsilon_budget": float(config["privacy.epsilon_budget"]["value"]),
            }
            # Without privacy there is none; JSON knows no infinity.
            return found_run | ({"epsilon": epsilon} if math.isfinite(epsilon) else {})
        except (OSError, ValueError, TypeError, KeyError, IndexError):
            continue
    return None


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _last_line(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - _TAIL))
        # What follows the last newline is still being written.
        lines = file.read().rpartition(b"\n")[0].splitlines()
    content: dict[str, Any] = json.loads(lines[-1])
    return content
