"""Output for machines: one line of strict JSON."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any


def json_line(content: Mapping[str, Any]) -> str:
    """`content` as one line; an infinite number is the text "inf", NaN is refused.

    >>> json_line({"epsilon": math.inf, "rounds": [1, 2]})
    '{"epsilon": "inf", "rounds": [1, 2]}'
    """
    return json.dumps(_strict(content), allow_nan=False)


def _strict(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return "inf"
    if isinstance(value, Mapping):
        return {key: _strict(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_strict(entry) for entry in value]
    return value
