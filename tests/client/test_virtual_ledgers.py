"""The ledgers of a simulation decide as a site's own, and survive a resume."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from dp_accounting import dp_event as dp

from client.participation import Participation
from client.virtual_ledgers import VirtualLedgers, virtual_budget
from shared.dp.claims import planned_claims
from shared.dp.renyi import RenyiBudget, Spending
from shared.errors import BudgetExhausted, PrivacyError, StateError
from tests.client.site_ledger import created, release
from tests.server.toy import plan

BUDGET = RenyiBudget(8.0, 1e-5)


def virtual(folder: Path, budget: RenyiBudget = BUDGET) -> VirtualLedgers:
    """Five clients."""
    return VirtualLedgers(folder / "ledgers", 5, budget)


def everybody(ledgers: VirtualLedgers) -> list[Spending]:
    """What each of the five has spent."""
    return [ledgers.spent(index) for index in range(5)]


def test_a_virtual_client_may_spend_exactly_what_a_site_may(tmp_path: Path) -> None:
    """Same events, same budget, same number of rounds; others are not touched."""
    ledgers, site = virtual(tmp_path), created(tmp_path)
    granted = 0
    for number in range(1, 1000):
        try:
            ledgers.reserve(2, release(number), repeatable=False)
        except BudgetExhausted:
            with pytest.raises(BudgetExhausted):
                site.reserve(release(number))
            break
        site.reserve(release(number))
        granted += 1
    assert granted > 3
    assert ledgers.epsilon(2) == site.spent("all")
    assert ledgers.epsilon(1) == 0.0


def test_all_at_once_is_one_by_one(tmp_path: Path) -> None:
    """Those whose budget is spent are left out, the others are charged."""
    one, many = virtual(tmp_path), virtual(tmp_path / "many")
    fits: list[bool] = []
    for number in range(1, 40):
        event = dp.GaussianDpEvent(1.5 + number / 10)
        indices = np.array([0, number % 5])[: 1 if number % 5 == 0 else 2]
        asked = release(number, event=event)
        fits = []
        for index in indices:
            try:
                one.reserve(int(index), asked, repeatable=False)
                fits.append(True)
            except BudgetExhausted:
                fits.append(False)
        assert many.reserve_each(indices, asked).tolist() == fits
    assert everybody(one) == everybody(many)
    assert not all(fits)


def test_charges_together_are_remembered_of_each(tmp_path: Path) -> None:
    """Whoever was asked with others is not asked the same again, alone or with others."""
    ledgers = virtual(tmp_path)
    ledgers.reserve_each(np.array([0, 1]), release(2))
    ledgers.reserve_each(np.array([2]), release(2))
    for again in (np.array([1, 3]), np.array([2])):
        with pytest.raises(PrivacyError, match="asked for"):
            ledgers.reserve_each(again, release(2))
    with pytest.raises(PrivacyError, match="after"):
        ledgers.reserve(0, release(1), repeatable=False)
    ledgers.reserve(3, release(1), repeatable=False)
    ledgers.reserve(0, release(4), repeatable=False)
    with pytest.raises(PrivacyError, match="asked for"):
        ledgers.reserve_each(np.array([0]), release(3))
    assert ledgers.reserve_each(np.array([1]), release(3)).tolist() == [True]
    assert everybody(virtual(tmp_path)) == everybody(ledgers)


def test_a_resumed_run_finds_what_was_spent(tmp_path: Path) -> None:
    """Even where the last line was torn."""
    ledgers = virtual(tmp_path)
    for number in (1, 2):
        ledgers.reserve(0, release(number), repeatable=False)
    ledgers.reserve(1, release(1, event=dp.GaussianDpEvent(9.0)), repeatable=False)
    path = tmp_path / "ledgers/charges.jsonl"
    path.write_text(path.read_text() + '[3, "tra')
    again = virtual(tmp_path)
    assert everybody(again) == everybody(ledgers)
    with pytest.raises(PrivacyError, match="after"):
        again.reserve(0, release(2), repeatable=False)
    assert not again.reserve(0, release(2), repeatable=True).charged
    again.reserve(0, release(3), repeatable=False)
    assert everybody(virtual(tmp_path)) == everybody(again)


def test_a_file_of_another_form_or_place_is_refused(tmp_path: Path) -> None:
    """Clear, and nothing is granted."""
    ledgers = virtual(tmp_path)
    path = tmp_path / "ledgers/charges.jsonl"
    path.write_text("[99]\n")
    with pytest.raises(StateError, match="another form"):
        virtual(tmp_path)
    path.unlink()
    path.mkdir()
    with pytest.raises(StateError, match="cannot be used"):
        virtual(tmp_path)
    with pytest.raises(StateError, match="cannot be written"):
        ledgers.reserve(0, release(1), repeatable=False)


def test_one_client_has_a_view_that_signs_nothing(tmp_path: Path) -> None:
    """It answers as a site's ledger does."""
    view = virtual(tmp_path).of(3)
    reservation = view.reserve(release(1), repeatable=False)
    view.commit(reservation, "")
    assert view.head() is None
    with pytest.raises(PrivacyError):
        view.reserve(release(1), repeatable=False)


@pytest.mark.parametrize("unit", ["record", "client"])
def test_a_plan_that_the_server_admits_is_not_refused_midway(tmp_path: Path, unit: str) -> None:
    """The filter's measure is coarser, and counts every participation: the budget is in it."""
    tight = plan(
        {
            "privacy.unit": unit,
            "privacy.delta": 1e-5,
            "population.size": 50,
            "cohort.sample_rate": 0.2,
            "rounds": 8,
            "evaluation.private_every": 2,
        }
    )
    epsilon = planned_claims(tight)[-1].epsilon
    exact = plan(
        {
            "privacy.unit": unit,
            "privacy.delta": 1e-5,
            "population.size": 50,
            "cohort.sample_rate": 0.2,
            "rounds": 8,
            "evaluation.private_every": 2,
            "privacy.epsilon_budget": epsilon,
        }
    )
    ledgers = virtual(tmp_path, virtual_budget(exact))
    for kind, (event, times) in exact.events().items():
        for number in range(1, times + 1):
            asked = release(number, kind=kind, event=event, unit=unit,
                            adjacency=exact.mechanism.adjacency)  # fmt: skip
            ledgers.reserve(0, asked, repeatable=False)
    assert ledgers.epsilon(0) >= epsilon


def test_participation_is_limited_as_at_a_site_and_after_a_resume(tmp_path: Path) -> None:
    """The first round pays, the second in time is free, one too soon is refused."""
    rule = Participation(min_separation=3, most=2, repeat=dp.GaussianDpEvent(8.0))
    virtual(tmp_path).reserve(0, release(1, participation=rule), repeatable=False)
    again = virtual(tmp_path)
    paid = again.epsilon(0)
    with pytest.raises(PrivacyError, match="3 apart"):
        again.reserve(0, release(2, participation=rule), repeatable=False)
    again.reserve(0, release(4, participation=rule), repeatable=False)
    assert again.epsilon(0) == paid > 0
    again.reserve(0, release(4, attempt=2, participation=rule), repeatable=False)
    assert virtual(tmp_path).epsilon(0) == again.epsilon(0) > paid


def test_what_is_charged_at_once_is_on_disk_too(tmp_path: Path) -> None:
    """A resumed run finds it; nobody is asked twice, or named twice for the price of one."""
    ledgers = virtual(tmp_path)
    ledgers.reserve_each(np.array([0, 3]), release(1))
    again = virtual(tmp_path)
    assert everybody(again) == everybody(ledgers)
    assert again.epsilon(3) == again.epsilon(0) > again.epsilon(1) == 0.0
    with pytest.raises(PrivacyError, match="different clients"):
        again.reserve_each(np.array([1, 3]), release(1))
    with pytest.raises(PrivacyError, match="different clients"):
        again.reserve_each(np.array([1, 1]), release(2))
    rule = Participation(min_separation=3, most=2, repeat=dp.GaussianDpEvent(8.0))
    with pytest.raises(PrivacyError, match="correlated"):
        again.reserve_each(np.array([1]), release(2, participation=rule))
    assert everybody(again) == everybody(ledgers)


def test_who_is_charged_first_lies_with_others_of_the_round(tmp_path: Path) -> None:
    """Many clients far apart in a large population touch few pages of memory."""
    ledgers = VirtualLedgers(tmp_path / "ledgers", 10**6, BUDGET)
    far = np.arange(100) * 9_999
    for number in (1, 2):
        ledgers.reserve_each(far + 37 * number, release(number))
    # Rows of 296 bytes, one after the other: 15 pages instead of 200.
    written = ledgers._spent
    assert np.flatnonzero(written[:, 0]).tolist() == list(range(200))
    assert ledgers.spent(37) == ledgers.spent(37 + 99 * 9_999) > ledgers.spent(0)
    with pytest.raises(IndexError, match="below 1000000"):
        ledgers.reserve_each(np.array([10**6]), release(3))


class Interrupted(dict[int, int]):
    """Another thread comes in between its length and what is done with it."""

    def __len__(self) -> int:
        found = super().__len__()
        time.sleep(0.001)
        return found


def test_clients_that_train_at_the_same_time_have_rows_of_their_own(tmp_path: Path) -> None:
    """Each is charged once, whoever else is; a resumed run finds the same."""
    ledgers = VirtualLedgers(tmp_path / "ledgers", 40, BUDGET)
    ledgers._rows = Interrupted()

    def charge(index: int) -> None:
        ledgers.reserve(index, release(1), repeatable=False)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(charge, range(40)))
    assert sorted(ledgers._rows.values()) == list(range(40))
    again = VirtualLedgers(tmp_path / "ledgers", 40, BUDGET)
    once = ledgers.spent(0)
    assert all(each.spent(index) == once for each in (ledgers, again) for index in range(40))
