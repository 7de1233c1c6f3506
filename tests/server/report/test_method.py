"""How it was done: whatever a report says of it is on the page, each scope once."""

from server.report.method import accounting, implementation, mechanisms, the_run, trust
from tests.server.report.reports import minimal, report


def test_claims_of_one_scope_share_a_paragraph_and_others_have_their_own() -> None:
    """Headed by whom they hold against."""
    content = report()
    assert "<h3>" not in accounting(content)
    content["claims"][0]["covers"] = ["only this"]
    written = accounting(content)
    assert written.count("<h3>Against ") == 2
    assert "only this" in written


def test_the_cross_check_is_shown_rounded_up() -> None:
    """Also where one accountant has no answer."""
    content = report()
    content["claims"][0]["cross_check"] = {"pld": 3.62011, "rdp": "inf", "agree": False}
    written = accounting(content)
    assert "3.6202" in written
    assert "not bounded" in written
    assert '<strong class="badge bad">no</strong>' in written


def test_a_mechanism_says_whatever_is_known_of_it() -> None:
    """Unknown facts have no empty line."""
    content = report("client")["mechanisms"][0]
    full = content | {"max_participations": 3, "min_separation": 7, "dropouts": {"tolerated": 2}}
    written = mechanisms([full])
    assert "rounds between two of them</dt><dd>7" in written
    assert "tolerated 2" in written
    assert "dropouts" not in mechanisms([content])


def test_nothing_optional_is_needed() -> None:
    """Nor missed."""
    content = minimal()
    assert "dp-accounting" in accounting(content)
    assert content["run"]["plan_hash"] in the_run(content)
    assert "<dt>model</dt>" in trust(content["trust"] | {"parties": [{"party": "server"}]})
    assert "rng" in implementation(content["implementation"])
