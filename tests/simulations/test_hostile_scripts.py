"""Whatever a hostile server scripts over messages, it learns one sum of enough for each attempt."""

import os
from dataclasses import replace

import pytest

from client.aggregation import SecureClient
from client.masking import Ready
from shared.secagg.exchange import RoundContext
from shared.secagg.parameters import parameters_for
from shared.secagg.refusal import Refusal
from tests.simulations.scripted_server import FRACTIONS, NAMES, Script, parameters

# `make deep` plays ten times as many; what is planted below shows within the first hundred.
SCRIPTS = 1000 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 100
FEWEST = parameters(len(NAMES)).survivors - 1  # honest ones, if the corrupt one is summed too
pytestmark = pytest.mark.no_cover


def violations(script: Script) -> list[str]:
    """What the server learnt that it must not."""
    found = ["another upload to the same question"] if script.unlike else []
    for attempt, groups in script.known.sums().items():
        found += [f"{attempt}: {len(g)} alone" for g in groups if len(g) < FEWEST]
        found += [f"{attempt}: {len(groups)} sums"] if len(groups) > 1 else []
    return found


def test_no_script_over_messages_reveals_anybody() -> None:
    """Over two rounds: one sum at most, of enough, and every abort has a name."""
    reasons, sums = set[str](), 0
    for number in range(SCRIPTS):
        script = Script.played(number)
        assert violations(script) == []
        reasons |= script.reasons
        sums += len(script.known.sums())
    kinds = {reason.partition(": ")[0] for reason in reasons}
    assert kinds == {"AggregationRefused", "MessageError"}
    refused = {r.split(": ")[1] for r in reasons if r.startswith("AggregationRefused: ")}
    assert refused <= set(Refusal)
    assert len(refused) >= 14
    assert sums > SCRIPTS // 2


def test_the_scripts_see_a_client_that_answers_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: it does not forget what it has told."""
    true = SecureClient.unmask

    def again(self: SecureClient, content: bytes) -> bytes:
        before = dict(self._state)
        told = true(self, content)
        self._state.update(before)
        return told

    monkeypatch.setattr(SecureClient, "unmask", again)
    found = [text for n in range(40) for text in violations(Script.played(n))]
    assert any("1 alone" in text for text in found)
    assert any("2 sums" in text for text in found)


def test_the_scripts_see_a_client_that_masks_an_attempt_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Planted: it does not look at what it masked last."""
    true = Ready.check

    def lenient(self: Ready, context: RoundContext) -> None:
        true(replace(self, last={}), context)

    monkeypatch.setattr(Ready, "check", lenient)
    found = [text for n in range(20) for text in violations(Script.played(n))]
    assert any("another upload" in text for text in found)


def test_the_scripts_see_a_member_that_unmasks_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: it does not look at how many survived."""
    true = parameters_for(len(NAMES), len(NAMES), *FRACTIONS)
    monkeypatch.setattr("client.masking.parameters_for", lambda *_: replace(true, survivors=1))
    assert any("alone" in text for n in range(100) for text in violations(Script.played(n)))
