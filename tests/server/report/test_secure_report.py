"""What a report says of masked updates and shared noise, and in which words."""

import json
from typing import Any

import pytest

from server.report.assumptions import Facts, assumptions
from server.report.build import build_report
from server.report.forms import FORMS
from server.report.html import html
from server.report.method import accounting
from tests.server.report.outcomes import UNITS, outcome
from tests.server.report.reports import report
from tests.server.report.secure_runs import SECURE

SHARED = ("shared records", "shared client")


def built(kind: str, *, simulated: bool = True) -> dict[str, Any]:
    """The report of a toy run."""
    return build_report(outcome(UNITS[kind] | {"seed": "os"}, simulated=simulated), "run-1")


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("masked records", "against every observer"),
        ("masked client", "against everybody but the server"),
        ("shared records", "against everybody, the server too as long as it sees sums alone"),
        ("shared client", "against everybody, the server too as long as it sees sums alone"),
    ],
)
def test_the_line_says_how_far_the_server_is_covered(kind: str, line: str) -> None:
    """By its own noise not at all, by shares of noise in sums alone; always on assumptions."""
    verdict = built(kind)["verdict"]
    assert line in verdict["one_line"]
    assert verdict["level"] == "guaranteed_with_assumptions"


@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.parametrize("simulated", [True, False])
def test_shared_noise_lists_what_it_rests_on(kind: str, simulated: bool) -> None:
    """Each assumed; in a simulation nobody vouches for the roster. The server adds nothing."""
    found = {a["id"]: a for a in built(kind, simulated=simulated)["assumptions"]}
    for name in ("client_code", "honest_fraction", "roster", "noise_shares", "masks"):
        assert found[name]["status"] == "assumed"
    assert "at most 0.1 of the population" in found["honest_fraction"]["text"]
    assert ("vouched for by nobody" in found["roster"]["evidence"]) is simulated
    assert "trusted_server" not in found


@pytest.mark.parametrize(
    ("kind", "assumed", "evidence"),
    [
        ("masked records", "client_code", "nothing attests"),
        ("masked client", "trusted_server", "the sum of each round in clear"),
        ("client", "trusted_server", "no secure aggregation"),
    ],
)
def test_whole_noise_rests_on_whoever_adds_it(kind: str, assumed: str, evidence: str) -> None:
    """Masks change what the server sees, not who is trusted with the noise."""
    [found] = [
        a
        for a in assumptions(outcome(UNITS[kind]).plan, Facts(seeded=False))
        if a.status == "assumed"
    ]
    assert found.id == assumed
    assert evidence in found.evidence


@pytest.mark.parametrize(
    ("kind", "model", "sees", "distribution", "by"),
    [
        ("masked records", "local", "sum of the updates", "gaussian_float", "each_client"),
        ("masked client", "central", "in clear", "gaussian_float", "server"),
        ("shared records", "distributed_secagg", "with its noise", "discrete_gaussian",
         "clients_shared"),
        ("shared client", "distributed_secagg", "with its noise", "skellam", "clients_shared"),
        ("record", "local", "every noisy update", "gaussian_float", "each_client"),
        ("client", "central", "every update of every client", "gaussian_float", "server"),
    ],
)  # fmt: skip
def test_trust_and_mechanism_say_who_adds_which_noise(
    kind: str, model: str, sees: str, distribution: str, by: str
) -> None:
    """And what the server sees of it."""
    found = built(kind)
    assert found["trust"]["model"] == model
    assert sees in found["trust"]["parties"][0]["sees"]
    mechanism = found["mechanisms"][0]
    assert (mechanism["noise_distribution"], mechanism["noise_placed_by"]) == (distribution, by)
    assert ("shared noise" in mechanism["name"]) is kind.startswith("shared")
    whole = found["implementation"]["float_protection"].startswith("noise is drawn and added in wh")
    assert whole is kind.startswith("shared")
    assert ("collusion_threshold" in found["trust"]) is (kind in SECURE)


@pytest.mark.parametrize(
    ("kind", "update", "answer"),
    [
        ("record", "dp", "dp"),
        ("masked records", "dp", "dp"),
        ("masked client", "secagg_only", "none"),
        ("client", "none", "none"),
        ("shared records", "secagg_only", "secagg_only"),
        ("shared client", "secagg_only", "secagg_only"),
        ("none", "none", None),
    ],
)
def test_what_left_a_client_says_what_protects_it(
    kind: str, update: str, answer: str | None
) -> None:
    """Masks are no differential privacy; whole noise of the server covers no answer on its way."""
    asked = {} if answer is None else {"evaluation.private_every": 1}
    found = build_report(outcome(UNITS[kind] | {"seed": "os"} | asked), "run-1")["data_accesses"]
    sent = {a["kind"]: a["protected"] for a in found if a["released_to"] == "server"}
    assert sent["train"] == update
    assert sent.get("evaluate") == answer


def test_a_told_cohort_is_secret_from_nobody() -> None:
    """And the run folder need not hide it."""
    told, secret = built("masked client"), built("sampled client")
    assert told["mechanisms"][0]["sampling"]["secret_from"] == []
    assert secret["mechanisms"][0]["sampling"]["secret_from"]
    assert "who was asked" in secret["implementation"]["security"]
    assert "who was asked" not in told["implementation"]["security"]
    for claim in told["claims"]:
        assert claim["no_amplification_epsilon"] == claim["epsilon"]


@pytest.mark.parametrize("kind", UNITS)
def test_how_integer_noise_is_accounted_is_on_the_page(kind: str) -> None:
    """The PLD beside it must not be taken for a bound."""
    found = built(kind)
    told = "the PLD shown is that of continuous noise, and bounds nothing" in accounting(found)
    assert told is (kind in SHARED)
    if kind in SHARED:
        claim = found["claims"][1]
        assert claim["method"] == "rdp"
        assert claim["cross_check"]["pld"] < claim["cross_check"]["rdp"]
        assert (claim["mu_gdp"], "rho_zcdp" in claim) == (None, False)


@pytest.mark.parametrize("form", ["html", "markdown", "terminal"])
def test_the_server_of_sums_is_named_in_every_form(form: str) -> None:
    """In words, not by its identifier alone."""
    written = FORMS[form](report("shared records"))
    assert "server_secagg_sum" not in written
    assert ("sums only" in written) or ("sees sums" in written)
    assert "sums" not in FORMS["terminal"](report("record")).splitlines()[0]


def test_the_label_names_whom_it_does_not_hold_against() -> None:
    """Whoever sees each update, which has a share of the noise alone."""
    written = html(report("shared records"))
    assert "Not against the server, which sees each update" in written


@pytest.mark.parametrize("kind", SECURE)
def test_a_report_is_strict_json(kind: str) -> None:
    """With all that shared noise adds to it."""
    assert json.loads(json.dumps(built(kind), allow_nan=False))
