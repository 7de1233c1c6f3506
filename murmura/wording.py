"""How numbers, observers and units are written for people; signs a terminal may lack."""

import math
from dataclasses import dataclass

OBSERVERS = {
    "released_model": "holder of the final model",
    "every_global_model": "who sees every global model",
    "server_secagg_sum": "server, sees sums only",
    "server_each_update": "server, sees each update",
    "other_client": "another client",
    "colluding_clients_and_server": "clients and server together",
}
UNITS = {
    "record": "one record",
    "client": "one client",
    "user_across_clients": "one person at all clients",
    "none": "nobody",
}

_BYTES = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Signs:
    """Signs for an output that can, or cannot, show more than ASCII."""

    epsilon: str
    delta: str
    dot: str
    absent: str
    infinite: str


UNICODE_SIGNS = Signs(epsilon="ε", delta="δ", dot="·", absent="–", infinite="∞")  # noqa: RUF001
ASCII_SIGNS = Signs(epsilon="eps", delta="delta", dot="-", absent="-", infinite="inf")


def signs_for(encoding: str) -> Signs:
    """The signs that an output of this `encoding` can show."""
    return UNICODE_SIGNS if encoding.lower().replace("-", "").startswith("utf") else ASCII_SIGNS


def number(value: float | str | None) -> float | None:
    """A float; JSON's "inf" is infinity, None stays None."""
    return None if value is None else float(value)


def epsilon_text(value: float | str | None, signs: Signs = ASCII_SIGNS) -> str:
    """Three digits, rounded up so that no claim looks better than it is."""
    amount = number(value)
    if amount is None:
        return signs.absent
    if math.isinf(amount):
        return signs.infinite
    digits = 2 if amount < 100 else 0
    # The tiny slack keeps 8.0 from becoming 8.01 for its binary representation's sake.
    return f"{math.ceil(amount * 10**digits - 1e-9) / 10**digits:.{digits}f}"


def score_text(value: float | None, signs: Signs = ASCII_SIGNS) -> str:
    """A share of one as percent."""
    return signs.absent if value is None else f"{100 * value:.1f} %"


def loss_text(value: float | None, signs: Signs = ASCII_SIGNS) -> str:
    """Three decimals; four digits where it has grown beyond reading."""
    if value is None:
        return signs.absent
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}"


def model_text(name: str) -> str:
    """A model by its name, where it has one."""
    return f"model {name}" if name else "default model"


def bytes_text(count: float | None, signs: Signs = ASCII_SIGNS) -> str:
    """Three digits in powers of a thousand: 12 B, 3.4 kB, 120 MB."""
    if count is None:
        return signs.absent
    amount, places = float(count), 0
    while amount >= 999.5 and places < len(_BYTES) - 1:
        amount, places = amount / 1000.0, places + 1
    digits = 0 if places == 0 or amount >= 9.95 else 1
    return f"{amount:.{digits}f} {_BYTES[places]}"


def duration_text(seconds: float) -> str:
    """At most two units: 0.4 s, 12 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
