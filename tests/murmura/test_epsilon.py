"""`murmura epsilon --noise integer`: a run's claim, by a formula that can be worked out by hand."""

import json
import math
from collections.abc import Callable

import pytest

from tests.murmura.conftest import Command

DELTA, NOISE = 1e-5, 1.75
INTEGER = ("epsilon", "--delta", "1e-5", "--noise-multiplier", "1.75", "--noise", "integer")
SAMPLED = ("--sample-rate", "0.3", "--steps", "60")
WHOLE_ORDERS = range(2, 65)


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """The JSON line on stdout."""
    content: dict[str, object] = json.loads(capsys.readouterr().out)
    return content


def unsampled(order: int) -> float:
    """α/(2z²)."""
    return order / (2.0 * NOISE**2)


def sampled(order: int) -> float:
    """ln Σ C(α, k)·(1-q)^(α-k)·q^k·exp(k(k-1)/(2z²)) / (α-1), q = 0.3."""
    terms = (
        math.comb(order, k) * 0.7 ** (order - k) * 0.3**k * math.exp(k * (k - 1) / (2 * NOISE**2))
        for k in range(order + 1)
    )
    return math.log(sum(terms)) / (order - 1)


def by_hand(divergence: Callable[[int], float], steps: int) -> float:
    """The least, over whole orders, of T·D(α) + ln(1 - 1/α) - ln(αδ)/(α-1)."""
    return min(
        steps * divergence(order) + math.log1p(-1 / order) - math.log(order * DELTA) / (order - 1)
        for order in WHOLE_ORDERS
    )


@pytest.mark.parametrize("adjacency", ["add-or-remove-one", "zero-out"])
@pytest.mark.parametrize(
    ("options", "divergence", "steps"),
    [((), unsampled, 1), (("--steps", "10"), unsampled, 10), (SAMPLED, sampled, 60)],
    ids=["once", "ten times", "sampled"],
)
def test_integer_noise_costs_what_renyis_whole_orders_say(
    murmura: Command,
    capsys: pytest.CaptureFixture[str],
    adjacency: str,
    options: tuple[str, ...],
    divergence: Callable[[int], float],
    steps: int,
) -> None:
    """Known answers in closed form; rounded up, never down."""
    assert murmura(*INTEGER, *options, "--adjacency", adjacency, "--json") == 0
    found, expected = printed(capsys), by_hand(divergence, steps)
    assert expected <= float(str(found["epsilon"])) < expected + 1.1e-4
    assert float(str(found["rdp"])) == pytest.approx(expected, abs=1e-8)
    unamplified = float(str(found["no_amplification_epsilon"]))
    assert unamplified == pytest.approx(by_hand(unsampled, steps), abs=1.1e-4)


def test_no_distribution_is_claimed_and_continuous_noise_stands_beside_it(
    murmura: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its figure is a floor; the Gaussian's own claim has none."""
    assert murmura(*INTEGER, *SAMPLED, "--json") == 0
    integer = printed(capsys)
    assert (integer["noise"], integer["method"], integer["pld"]) == ("integer", "rdp", None)
    assert integer["agree"] is True
    assert murmura(*INTEGER[:-1], "gaussian", *SAMPLED, "--json") == 0
    gaussian = printed(capsys)
    assert (gaussian["noise"], gaussian["continuous_epsilon"]) == ("gaussian", None)
    assert gaussian["pld"] is not None
    assert integer["continuous_epsilon"] == gaussian["epsilon"]
    assert float(str(integer["epsilon"])) > 1.05 * float(str(gaussian["epsilon"]))


def test_it_is_the_figure_of_a_plan(murmura: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """Of distributed noise at record level, one step a round."""
    options = ("--delta", "1e-5", "--rounds", "60", "--sample-rate", "0.3", "--json")
    assert murmura("plan", *options, "--noise-multiplier", "1.75", "--noise", "distributed") == 0
    planned = printed(capsys)["epsilon"]
    assert murmura(*INTEGER, *SAMPLED, "--json") == 0
    assert printed(capsys)["epsilon"] == planned


def test_a_person_is_told_what_is_not_claimed(
    murmura: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """The floor is called one."""
    assert murmura(*INTEGER, *SAMPLED) == 0
    out = " ".join(capsys.readouterr().out.split())
    for part in ("integer", "rdp at whole orders", "no privacy loss distribution is claimed",
                 "continuous noise", "a floor", "without sampling"):  # fmt: skip
        assert part in out, part
    assert "PLD" not in out


def test_a_relation_that_is_not_known_is_refused(
    murmura: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, and which are known."""
    assert murmura(*INTEGER, "--adjacency", "replace-one") == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "add-or-remove-one or zero-out with --noise integer" in said
