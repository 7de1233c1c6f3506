"""What a careless medium, owner or server may do: memory, disk and request must agree."""

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from dp_accounting import dp_event as dp

from client.ledger import Ledger
from client.ledger_journal import Journal, witness_of
from shared.config import RunConfig
from shared.dp.mechanisms import Adjacency
from shared.dp.plan import PrivacyPlan
from shared.dp.renyi import NOTHING, RenyiBudget, added, renyi_cost
from shared.errors import BudgetExhausted, ConfigurationError, PrivacyError, StateError
from tests.client.site_ledger import created, grant, opened, release

CHEAP = dp.GaussianDpEvent(1000.0)


def test_another_history_is_frozen_even_one_entry_longer_than_the_witness_knows(
    tmp_path: Path,
) -> None:
    """A clone's journal would hide the charge that the witness saw."""
    one, clone = tmp_path / "one", tmp_path / "clone"
    created(one).reserve(release(1))
    shutil.copytree(one, clone)
    opened(one).reserve(release(2))
    cheaper = opened(clone)
    for number in (1, 2):
        cheaper.reserve(release(number, run_id="cheaper", event=CHEAP))
    shutil.copy(clone / "ledger/journal.jsonl", one / "ledger/journal.jsonl")
    with pytest.raises(StateError, match="different entries"):
        opened(one)


def fails_once(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The next use of the witness fails, as on a full or absent medium."""
    real: Callable[..., object] = getattr(Journal, name)

    def failing(_journal: Journal) -> None:
        monkeypatch.setattr(Journal, name, real)
        raise StateError("the witness's medium is away")

    monkeypatch.setattr(Journal, name, failing)


def test_a_lower_budget_that_reached_the_disk_holds_in_memory_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its witness failed: the open ledger must not go on under the old one."""
    ledger = created(tmp_path)
    fails_once(monkeypatch, "_write_witness")
    with pytest.raises(StateError, match="away"):
        ledger.set_budget(grant(epsilon=0.5))
    with pytest.raises(BudgetExhausted):
        ledger.reserve(release(1))
    assert opened(tmp_path).blocks["all"].grant.epsilon == 0.5


def test_charges_that_were_read_while_the_witness_was_away_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process's: they were granted, and the open ledger must know them."""
    ledger, other = created(tmp_path), opened(tmp_path)
    fits = ledger.forecast(
        release().event, unit="record", adjacency=release().adjacency, server="server"
    )
    for number in range(1, fits + 1):
        other.reserve(release(number))
    fails_once(monkeypatch, "_read_witness")
    with pytest.raises(StateError, match="away"):
        ledger.reserve(release(fits + 1))
    with pytest.raises(BudgetExhausted):
        ledger.reserve(release(fits + 1))
    assert ledger.spent("all") == other.spent("all")


def test_an_entry_that_cannot_be_applied_is_not_passed_over_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a newer version, say: refused each time, not once."""
    ledger = created(tmp_path)
    newer = Journal(tmp_path / "ledger")
    with newer.locked():
        newer.append({"kind": "of-tomorrow"})
    for _ in range(2):
        with pytest.raises(StateError, match="another form"):
            ledger.reserve(release(1))
    full = OSError(errno.EIO, "Input/output error")
    monkeypatch.setattr("os.open", lambda *_, **__: (_ for _ in ()).throw(full))
    with pytest.raises(OSError, match="Input"):
        ledger.reserve(release(1))


@pytest.mark.parametrize(
    "changes", [{"plan_digest": "ff" * 32}, {"unit": "client"}, {"blocks": ("none",)}]
)
def test_a_repeat_is_free_only_for_the_same_request(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    """Another plan is another release, seeded or not."""
    ledger = created(tmp_path)
    ledger.reserve(release(1), repeatable=True)
    with pytest.raises(PrivacyError):
        ledger.reserve(release(1, **changes), repeatable=True)


def test_a_repeat_is_free_only_for_the_same_bytes(tmp_path: Path) -> None:
    """Two different answers are two releases, and one was charged."""
    ledger = created(tmp_path)
    ledger.reserve(release(1), repeatable=True)
    again = ledger.reserve(release(1), repeatable=True)
    ledger.commit(again, "ab" * 32)
    ledger.commit(again, "ab" * 32)
    with pytest.raises(PrivacyError, match="got another"):
        ledger.commit(ledger.reserve(release(1), repeatable=True), "cd" * 32)
    assert list(opened(tmp_path).reservations.values()) == ["ab" * 32]
    assert opened(tmp_path).head().count == 3


@pytest.mark.parametrize("changes", [{"unit": "client"}, {"data_set": "ct-scans"}])
def test_a_block_keeps_its_unit_and_its_data(tmp_path: Path, changes: dict[str, object]) -> None:
    """What was spent of records cannot become what was spent of clients."""
    ledger = created(tmp_path)
    with pytest.raises(ConfigurationError, match="keep its unit"):
        ledger.set_budget(grant(**changes))
    assert opened(tmp_path).blocks["all"].grant == grant()
    ledger.set_budget(grant(block="2027", **changes))


@pytest.mark.parametrize(
    ("unit", "adjacency"),
    [
        ("record", Adjacency.ZERO_OUT),
        ("record", Adjacency.REPLACE_ONE),
        ("client", Adjacency.ADD_OR_REMOVE_ONE),
    ],
)
def test_one_ledger_adds_up_one_adjacency(tmp_path: Path, unit: str, adjacency: Adjacency) -> None:
    """That of its unit; divergences under different ones have no sum."""
    ledger = created(tmp_path, unit=unit)
    with pytest.raises(PrivacyError, match=adjacency.value):
        ledger.reserve(release(1, unit=unit, adjacency=adjacency))


@pytest.mark.parametrize("place", range(1, 10))
def test_killed_while_it_is_made_it_can_be_made_again(tmp_path: Path, place: int) -> None:
    """At each write and sync: nothing was entered, so nothing can be lost."""
    child = os.fork()
    if not child:
        try:
            _die_at(place)
            created(tmp_path)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    if (tmp_path / "ledger/journal.jsonl").exists():
        opened(tmp_path).set_budget(grant())
    else:
        created(tmp_path)
    opened(tmp_path).reserve(release(1))


def _die_at(place: int) -> None:
    calls = 0

    def dying(real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            nonlocal calls
            calls += 1
            if calls == place:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments)

        return call

    for name in ("write", "fsync"):
        setattr(os, name, dying(getattr(os, name)))


def test_a_ledger_with_entries_is_never_made_again(tmp_path: Path) -> None:
    """Not even where the journal is gone: the witness knows that it was."""
    created(tmp_path)
    (tmp_path / "ledger/journal.jsonl").unlink()
    with pytest.raises(StateError, match="expected no ledger"):
        created(tmp_path)
    assert witness_of(tmp_path / "ledger").exists()


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"evaluation.private_every": 3, "evaluation.noise_multiplier": 5.0},
        {"statistics.private": True},
        {"privacy.unit": "client", "cohort.sample_rate": 0.5, "privacy.noise_multiplier": 6.0},
    ],
)
def test_the_forecast_of_a_plan_counts_all_that_it_asks(
    tmp_path: Path, keys: dict[str, str | int | float | bool]
) -> None:
    """Exactly so many rounds fit, questions included; one more does not."""
    plan = PrivacyPlan.from_config(RunConfig.from_run_config(keys | {"privacy.delta": 1e-6}))
    unit, adjacency = plan.mechanism.unit, plan.mechanism.adjacency
    rounds = created(tmp_path, unit=unit).rounds_left(plan, "server")

    def fits(count: int) -> bool:
        spent = NOTHING
        for event, times in plan.events(count).values():
            for _ in range(times):
                spent = added(spent, renyi_cost(event, adjacency, unit=unit))
        return RenyiBudget(8.0, 1e-5).admits(NOTHING, spent)

    assert rounds > 3
    assert fits(rounds)
    assert not fits(rounds + 1)


def test_correlated_noise_fits_as_a_whole_or_not(tmp_path: Path) -> None:
    """It is one release over all rounds; and no plan fits a budget of another unit."""
    keys = {
        "privacy.unit": "client", "privacy.correlation": "banded", "privacy.min_separation": 2,
        "privacy.bands": 2, "rounds": 6, "privacy.noise_multiplier": 4.0,
    }  # fmt: skip
    plan = PrivacyPlan.from_config(RunConfig.from_run_config(keys))
    assert created(tmp_path / "large", unit="client").rounds_left(plan, "server") == 6
    small = created(tmp_path / "small", unit="client", epsilon=0.2)
    assert small.rounds_left(plan, "server") == 0
    with pytest.raises(PrivacyError, match="of the unit"):
        created(tmp_path / "other").rounds_left(plan, "server")


def test_a_ledger_without_a_budget_allows_nothing(tmp_path: Path) -> None:
    """As a crash may leave one: refused by name, not by accident."""
    created(tmp_path)
    from client.ledger_journal import create_journal

    create_journal(tmp_path / "bare")
    bare = Ledger(tmp_path / "bare")
    assert bare.forecast(CHEAP, unit="record", adjacency=release().adjacency, server="s") == 0
    with pytest.raises(PrivacyError, match="blocks with a budget"):
        bare.reserve(release(1))


@pytest.mark.parametrize("digest", ["", "ab" * 31, "ab" * 33, "reply"])
def test_a_reply_s_digest_of_another_length_is_refused_before_it_freezes_the_ledger(
    tmp_path: Path, digest: str
) -> None:
    """Nothing of it is on disk: the ledger opens as it was, and takes the real one."""
    ledger = created(tmp_path)
    reservation = ledger.reserve(release(1), unanswered=True)
    with pytest.raises(StateError, match="expected a SHA-256"):
        ledger.commit(reservation, digest)
    assert opened(tmp_path).head().count == 2
    ledger.commit(reservation, "cd" * 32)
    assert list(opened(tmp_path).reservations.values()) == ["cd" * 32]
