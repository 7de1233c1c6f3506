"""The ledger grants what its owner allows, once, and nothing else."""

import gc
import hashlib
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from dp_accounting import dp_event as dp

from client.ledger import Ledger
from client.ledger_journal import JOURNAL
from client.ledger_state import LedgerState
from client.participation import Participation
from shared.dp.accounting import epsilon_of
from shared.dp.mechanisms import Adjacency
from shared.errors import (
    AggregationRefused,
    BudgetExhausted,
    ConfigurationError,
    PrivacyError,
    StateError,
)
from shared.secagg.refusal import Refusal
from tests.client.site_ledger import ONE, created, grant, opened, release


def spend_all(ledger: Ledger) -> int:
    """Reserve until it is refused; returns how many were granted."""
    for number in range(1, 10_000):
        try:
            ledger.reserve(release(number))
        except BudgetExhausted:
            return number - 1
    raise AssertionError("never refused")


def test_it_grants_up_to_the_budget_and_not_beyond(tmp_path: Path) -> None:
    """What PLD says of all that was granted is within the budget; the forecast knew the number."""
    ledger = created(tmp_path)
    foretold = ledger.forecast(
        ONE, unit="record", adjacency=Adjacency.ADD_OR_REMOVE_ONE, server="server"
    )
    count = spend_all(ledger)
    assert count == foretold > 3
    exact = epsilon_of(ledger.exposure("all"), 1e-5, Adjacency.ADD_OR_REMOVE_ONE).epsilon
    assert exact <= ledger.spent("all") <= 8.0


def test_it_outlives_the_process_and_the_run(tmp_path: Path) -> None:
    """Another run, after a restart, finds what is left."""
    ledger = created(tmp_path)
    ledger.commit(ledger.reserve(release(1)), "cd" * 32)
    again = opened(tmp_path)
    assert again.spent("all") == ledger.spent("all") > 0
    assert set(again.reservations.values()) == {"cd" * 32}
    again.reserve(release(1, run_id="another", plan_digest="ef" * 32))
    assert again.spent("all") > ledger.spent("all")


def test_a_request_to_unmask_is_answered_once_whatever_dies(tmp_path: Path) -> None:
    """Noted on disk at no cost, for each attempt's context."""
    ledger = created(tmp_path)
    ledger.unmask("ab" * 32)
    for later in (ledger, opened(tmp_path)):
        with pytest.raises(AggregationRefused) as caught:
            later.unmask("ab" * 32)
        assert caught.value.reason == Refusal.ANSWERED_BEFORE
    opened(tmp_path).unmask("cd" * 32)
    assert opened(tmp_path).spent("all") == 0.0


def test_a_refusal_says_nothing_of_the_data_or_the_spending(tmp_path: Path) -> None:
    """The same words, whatever was spent."""
    ledger = created(tmp_path, epsilon=1.0)
    with pytest.raises(BudgetExhausted) as first:
        ledger.reserve(release(event=dp.GaussianDpEvent(0.1)))
    assert not any(character.isdigit() for character in str(first.value))


def test_a_release_is_charged_once_and_not_repeated(tmp_path: Path) -> None:
    """A second answer to one question would have fresh noise, and cost nothing."""
    ledger = created(tmp_path)
    assert ledger.reserve(release(1)).charged
    before = ledger.spent("all")
    with pytest.raises(PrivacyError, match="asked for before"):
        ledger.reserve(release(1))
    again = ledger.reserve(release(1), repeatable=True)
    assert not again.charged
    ledger.commit(again, "00" * 32)
    assert ledger.spent("all") == before
    ledger.reserve(release(1, attempt=2))
    assert ledger.spent("all") > before


def test_what_never_left_may_be_computed_again_for_the_same_charge(tmp_path: Path) -> None:
    """By whoever commits before sending; once committed, another answer is refused as ever."""
    ledger = created(tmp_path)
    ledger.reserve(release(1), unanswered=True)
    before = ledger.spent("all")
    again = opened(tmp_path).reserve(release(1), unanswered=True)
    assert not again.charged
    assert opened(tmp_path).spent("all") == before
    ledger.commit(again, "00" * 32)
    with pytest.raises(PrivacyError, match="asked for before"):
        ledger.reserve(release(1), unanswered=True)
    with pytest.raises(PrivacyError, match="committed before"):
        ledger.commit(again, "11" * 32)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"plan_digest": "99" * 32}, "began with the plan"),
        ({"event": dp.LaplaceDpEvent(1.0)}, "can be accounted"),
        ({"event": dp.NonPrivateDpEvent()}, "without privacy"),
        ({"unit": "client"}, "of the unit"),
        ({"blocks": ("2027",)}, "blocks with a budget"),
    ],
)
def test_what_is_changed_unknown_or_not_granted_is_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    """And costs nothing."""
    ledger = created(tmp_path)
    ledger.reserve(release(1))
    before = ledger.spent("all")
    with pytest.raises(PrivacyError, match=said):
        ledger.reserve(release(2, **changes))
    assert opened(tmp_path).spent("all") == before


def test_one_server_cannot_spend_what_others_need(tmp_path: Path) -> None:
    """Its quota is a share of the budget; another server's share is still there."""
    ledger = created(tmp_path, quota=0.5)
    greedy = spend_all(ledger)
    assert greedy >= 1
    assert ledger.spent("all") <= 4.0
    ledger.reserve(release(1, server="another"))


def test_two_releases_of_a_kind_keep_their_distance(tmp_path: Path) -> None:
    """By the site's clock, for each kind on its own; a clock that went back is no excuse."""
    now = 1000.0
    Ledger.create(tmp_path / "ledger", grant(min_separation_s=60.0))
    ledger = Ledger(tmp_path / "ledger", clock=lambda: now)
    ledger.reserve(release(1))
    ledger.reserve(release(1, kind="evaluate"))
    for later in (1059.0, 900.0):
        now = later
        with pytest.raises(PrivacyError, match="at least 60 s"):
            ledger.reserve(release(2))
    now = 1060.0
    ledger.reserve(release(2))


def test_new_records_open_a_new_block_with_a_budget_of_its_own(tmp_path: Path) -> None:
    """A release that touches both is charged to both, and stops where one is spent."""
    ledger = created(tmp_path, block="2026")
    count = spend_all(ledger)
    ledger.set_budget(grant(block="2027"))
    with pytest.raises(BudgetExhausted):
        ledger.reserve(release(count + 1))
    ledger.reserve(release(count + 1, blocks=("2027",)))
    assert 0 < ledger.spent("2027") < ledger.spent("2026")


def test_a_larger_budget_keeps_what_was_spent(tmp_path: Path) -> None:
    """The owner may grant more, never less than was spent already."""
    ledger = created(tmp_path)
    spend_all(ledger)
    before = ledger.spent("all")
    ledger.set_budget(grant(epsilon=9.0))
    assert ledger.spent("all") == before
    assert opened(tmp_path).blocks["all"].grant.epsilon == 9.0


def test_two_open_ledgers_see_each_others_entries(tmp_path: Path) -> None:
    """Read under the lock before each decision."""
    first = created(tmp_path)
    second = opened(tmp_path)
    first.reserve(release(1))
    with pytest.raises(PrivacyError, match="asked for before"):
        second.reserve(release(1))
    second.reserve(release(2))
    first.reserve(release(3))
    assert first.head() == opened(tmp_path).head()


def test_the_head_is_signed_by_the_site(tmp_path: Path) -> None:
    """So that a server can keep it as a second witness."""
    ledger = created(tmp_path)
    ledger.reserve(release(1))
    head = ledger.head()
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(head.public_key))
    key.verify(bytes.fromhex(head.signature), bytes.fromhex(head.hash))
    assert head.count == 2


@pytest.mark.parametrize(
    "changes",
    [{"epsilon": 0.0}, {"delta": 1.0}, {"quota": 0.0}, {"unit": "none"}, {"block": ""},
     {"min_separation_s": -1.0}],
)  # fmt: skip
def test_a_grant_that_means_nothing_is_refused(changes: dict[str, object]) -> None:
    """Before it is written."""
    with pytest.raises(ConfigurationError):
        grant(**changes)


def test_an_entry_that_nobody_writes_is_refused() -> None:
    """Signed or not."""
    state = LedgerState()
    for entry in ({"kind": "refund"}, {"kind": "reserve", "key": []}, {}):
        with pytest.raises(StateError, match="another form"):
            state.apply(entry)


def test_a_ledger_is_made_once(tmp_path: Path) -> None:
    """A second one in its place would forget what was spent."""
    created(tmp_path)
    with pytest.raises(StateError, match="expected no ledger"):
        created(tmp_path)
    (tmp_path / "ledger/journal.jsonl").unlink()
    with pytest.raises(StateError, match="expected no ledger"):
        created(tmp_path)


def test_neither_flwr_nor_torch_is_needed() -> None:
    """A site's operator can look at it anywhere."""
    code = (
        "import sys; import client.ledger, client.virtual_ledgers; "
        "print([m for m in ('flwr', 'torch', 'opacus') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    assert done.stdout.strip() == "[]"


def test_what_left_is_kept_by_its_digest_alone(tmp_path: Path) -> None:
    """The ledger holds no update, and no name of a record."""
    ledger = created(tmp_path)
    ledger.commit(ledger.reserve(release(1)), hashlib.sha256(b"update").hexdigest())
    lines = (tmp_path / "ledger/journal.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["reply"] == hashlib.sha256(b"update").hexdigest()


RULE = Participation(min_separation=3, most=2, repeat=dp.GaussianDpEvent(8.0))


def test_the_first_participation_pays_for_a_run_of_correlated_noise(tmp_path: Path) -> None:
    """Later ones are free, as often and as far apart as the accounting assumes."""
    ledger = created(tmp_path)
    ledger.reserve(release(1, participation=RULE))
    paid = ledger.spent("all")
    again = opened(tmp_path)
    for number in (2, 3):
        with pytest.raises(PrivacyError, match="3 apart"):
            again.reserve(release(number, participation=RULE))
    again.reserve(release(4, participation=RULE))
    with pytest.raises(PrivacyError, match="at most 2 rounds"):
        again.reserve(release(9, participation=RULE))
    assert again.spent("all") == paid
    again.reserve(release(1, run_id="another", participation=RULE))
    assert again.spent("all") > paid


def test_another_attempt_at_a_round_of_correlated_noise_is_charged_as_one_row_more(
    tmp_path: Path,
) -> None:
    """The site cannot know what became of the first: the exposure holds both."""
    ledger = created(tmp_path)
    ledger.reserve(release(1, participation=RULE))
    ledger.reserve(release(4, participation=RULE))
    paid = ledger.spent("all")
    ledger.reserve(release(4, attempt=2, participation=RULE))
    assert ledger.spent("all") > paid
    both = dp.ComposedDpEvent([ONE, dp.NoOpDpEvent(), dp.GaussianDpEvent(8.0)])
    assert opened(tmp_path).exposure("all") == both


def test_of_a_release_it_keeps_little_in_memory(tmp_path: Path) -> None:
    """Less than a kilobyte, where an entry on disk is several: a guard runs for years."""
    ledger = created(tmp_path, epsilon=1e6)
    played = 0

    def play(rounds: int) -> int:
        nonlocal played
        for _ in range(rounds):
            played += 1
            ledger.commit(ledger.reserve(release(played)), f"{played:064x}")
            ledger.unmask(f"{played:064x}")
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = play(50)
        grown = (play(100) - before) / 100
    finally:
        tracemalloc.stop()
    size = (tmp_path / "ledger" / JOURNAL).stat().st_size / 150
    assert grown < 1000 < size
    assert len(ledger.entries) == 1 + 3 * 150
