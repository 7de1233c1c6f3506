"""Writes the known answers of secure aggregation, from the verifier and from nothing of our code.

    python -m tests.vectors.make_secagg_vectors

Origin, comments, parameters and input are written by hand and kept; `output` is what the verifier
makes of them. Files of bad messages are made whole.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.vectors.bad_secagg_messages import bad_cases
from tests.vectors.secagg_answers import answer

FOLDER = Path(__file__).parent


def stored(name: str) -> dict[str, Any]:
    """The case in a file."""
    case: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return case


def good_names() -> list[str]:
    """Of all cases that are no bad ones."""
    return sorted(p.stem for p in FOLDER.glob("secagg_*.json") if "_bad_" not in p.stem)


def cases() -> dict[str, Mapping[str, Any]]:
    """All of them by name, as they should stand in their files."""
    good = {name: stored(name) for name in good_names()}
    for name, case in good.items():
        case["output"] = answer(name, case)
    return good | bad_cases(good["secagg_round_committee"], good["secagg_round_helpers"])


def text_of(case: Mapping[str, Any]) -> str:
    """JSON, a list of numbers or texts on one line."""
    text = json.dumps(case, ensure_ascii=False, indent=1)
    return re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\n +", " ", found[0]), text) + "\n"


def main() -> None:
    """Write all files, and remove those of bad messages that are made no more."""
    found = cases()
    for path in FOLDER.glob("secagg_bad_*.json"):
        if path.stem not in found:
            path.unlink()
    for name, case in found.items():
        (FOLDER / f"{name}.json").write_text(text_of(case))


if __name__ == "__main__":
    main()
