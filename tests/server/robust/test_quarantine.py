"""Who is rejected again and again is asked no more; nobody is, where sampling is a secret."""

import logging

import pytest

from server.robust.choice import Robust
from server.robust.quarantine import Quarantine

RULE = Robust("median", 0.2, 0.0, 3)


def test_the_last_strike_puts_out(caplog: pytest.LogCaptureFixture) -> None:
    """Said once in the log, with the reason; until then it is asked."""
    found = Quarantine(RULE)
    for number in (1, 2, 3, 4):
        found.begin_round()
        found.strike(number, "b", "its updates lie far off")
        assert found.rejected == ["b"]
        assert found.names == (("b",) if number >= 3 else ())
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings == [
        "round 3: b was rejected 3 times and is asked no more in this run: its updates lie far off"
    ]
    assert found.admitted(("a", "b", "c")) == ("a", "c")
    assert found.barred == 1


def test_strikes_survive_a_resume() -> None:
    """As a checkpoint keeps them."""
    found = Quarantine(RULE)
    found.strike(1, "a", "")
    again = Quarantine(RULE)
    again.restore(found.state())
    for number in (2, 3):
        assert again.names == ()
        again.strike(number, "a", "")
    assert again.names == ("a",)
    assert found.names == ()


def test_without_a_rule_or_without_strikes_nobody_is_put_out() -> None:
    """At client level who is asked must not depend on what was sent."""
    for quarantine in (Quarantine(None), Quarantine(Robust("median", 0.2, 0.0, 0))):
        for number in range(10):
            quarantine.strike(number, "a", "")
        assert quarantine.admitted(("a", "b")) == ("a", "b")
    assert Quarantine(None).rejected == []
