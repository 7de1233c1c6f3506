"""Charges are on disk first, counted once, and never above the budget."""

import os
import stat
from pathlib import Path

import pytest

from server.budget import CHARGES, Budget
from server.run_folder import RunFolder
from shared.config import Scalar
from shared.dp.claims import planned_claims
from shared.errors import BudgetExhausted, StateError
from tests.server.toy import plan

ALL = ("site-0", "site-1")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """An empty run folder."""
    return RunFolder(tmp_path)


def budget(folder: RunFolder, *, repeatable: bool = False, **changes: Scalar) -> Budget:
    """The budget of a toy run of two rounds."""
    named = {f"privacy.{key}": value for key, value in changes.items()}
    return Budget(plan(named), folder, repeatable=repeatable)


def test_charges_survive_the_process(folder: RunFolder) -> None:
    """What is read again is what was booked."""
    first = budget(folder)
    first.charge(1, 1, ALL)
    first.charge(2, 1, ())
    again = budget(folder)
    assert again.charges == first.charges
    assert again.epsilon() == first.epsilon() > 0


def test_a_charge_is_synced_before_it_counts(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file, and the folder that names it."""
    synced: list[bool] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        real(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    booked = budget(folder)
    booked.charge(1, 1, ALL)
    assert synced == [False, True]
    booked.charge(2, 1, ALL)
    assert synced == [False, True, False]


def test_a_key_that_is_booked_already_stays_as_it_is(folder: RunFolder) -> None:
    """A seeded round repeats bit for bit: one release, one charge."""
    booked = budget(folder, repeatable=True)
    for _ in range(3):
        assert booked.next_attempt(1) == 1
        booked.charge(1, 1, ALL)
    assert len(booked.charges) == 1
    assert len(folder.read_lines(CHARGES)) == 1


def test_with_fresh_randomness_every_attempt_is_a_charge_of_its_own(folder: RunFolder) -> None:
    """Two noisy sums of one round tell more than one."""
    booked = budget(folder)
    booked.charge(1, booked.next_attempt(1), ALL)
    once = booked.epsilon()
    assert booked.next_attempt(1) == 2
    booked.charge(1, 2, ALL)
    assert booked.epsilon() > once
    assert [charge.key for charge in booked.charges] == [("train", 1, 1), ("train", 1, 2)]


def test_the_round_that_would_overspend_is_refused_and_not_booked(folder: RunFolder) -> None:
    """A repeated round can exceed what the plan had room for."""
    exactly = planned_claims(plan())[-1].epsilon
    booked = budget(folder, epsilon_budget=exactly)
    booked.charge(1, 1, ALL)
    booked.charge(2, 1, ALL)
    with pytest.raises(BudgetExhausted, match="round 2 must keep epsilon at most"):
        booked.charge(2, 2, ALL)
    assert len(booked.charges) == len(folder.read_lines(CHARGES)) == 2


def test_without_privacy_rounds_are_booked_and_cost_infinity(folder: RunFolder) -> None:
    """There is no budget to exceed."""
    booked = budget(folder, unit="none", epsilon_budget=0.1)
    booked.charge(1, 1, ALL)
    assert booked.epsilon() == float("inf")
    assert budget(folder, unit="none").charges == booked.charges


@pytest.mark.parametrize(("key", "value"), [("noise_multiplier", 2.0), ("unit", "none")])
def test_charges_of_another_plan_are_refused(folder: RunFolder, key: str, value: Scalar) -> None:
    """They would be counted as if they were this plan's."""
    budget(folder).charge(1, 1, ALL)
    with pytest.raises(StateError, match="charges of another privacy plan"):
        Budget(plan({f"privacy.{key}": value}), folder, repeatable=False)


def test_a_finished_round_that_was_never_charged_is_refused(folder: RunFolder) -> None:
    """Charges that were deleted would be spent again."""
    booked = budget(folder)
    booked.charge(1, 1, ALL)
    booked.check_covers(1)
    with pytest.raises(StateError, match="2 rounds, got none for round 2"):
        booked.check_covers(2)


def test_a_charge_that_cannot_be_written_stops_the_round(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing may leave the server then."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device", descriptor)

    monkeypatch.setattr("os.fsync", full)
    booked = budget(folder)
    with pytest.raises(StateError, match=r"charges\.jsonl cannot be written"):
        booked.charge(1, 1, ALL)
    assert not booked.charges
