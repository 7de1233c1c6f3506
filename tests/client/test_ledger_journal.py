"""Damage, crashes, races and old copies: never more spent than granted, no silent repair."""

import errno
import os
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from client.ledger import Ledger
from client.ledger_journal import witness_of
from shared.errors import BudgetExhausted, StateError
from tests.client.site_ledger import created, opened, release

GENEROUS = 1e6


def forked(work: Callable[[], object]) -> int:
    """Run `work` in a child process that never comes back; returns its id."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    finally:
        os._exit(0)


def die() -> NoReturn:
    """Kill -9 this process."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def small(folder: Path) -> Ledger:
    """A budget, one release, and its commit."""
    ledger = created(folder, epsilon=GENEROUS)
    ledger.commit(ledger.reserve(release(1)), "cd" * 32)
    return ledger


def test_every_flipped_bit_is_seen(tmp_path: Path) -> None:
    """One bit of every byte of journal and key; the ledger refuses, and repairs nothing."""
    small(tmp_path)
    path = tmp_path / "ledger/journal.jsonl"
    content = path.read_bytes()
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(bytes(flipped))
        with pytest.raises(StateError):
            opened(tmp_path)
        assert path.read_bytes() == bytes(flipped)
    path.write_bytes(content)
    opened(tmp_path)
    key = tmp_path / "ledger/key"
    secret = bytearray(key.read_bytes())
    secret[3] ^= 1
    key.write_bytes(bytes(secret))
    with pytest.raises(StateError):
        opened(tmp_path)


def test_a_flipped_bit_of_the_witness_hides_no_charge(tmp_path: Path) -> None:
    """The other slot, or the journal, still knows: what was spent stays spent, or is refused."""
    spent = small(tmp_path).spent("all")
    path = witness_of(tmp_path / "ledger")
    content = path.read_bytes()
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(bytes(flipped))
        try:
            assert opened(tmp_path).spent("all") == spent
        except StateError:
            continue


def test_every_truncation_is_seen(tmp_path: Path) -> None:
    """At each length; an empty or missing file too."""
    small(tmp_path)
    path = tmp_path / "ledger/journal.jsonl"
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(StateError, match=r"damaged|old copy"):
            opened(tmp_path)
    path.unlink()
    with pytest.raises(StateError, match="cannot be read"):
        opened(tmp_path)


def test_entries_in_another_order_or_left_out_are_seen(tmp_path: Path) -> None:
    """The chain names the entry before."""
    small(tmp_path)
    path = tmp_path / "ledger/journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for changed in ([lines[1], lines[0], lines[2]], [lines[0], lines[2]], [*lines, lines[2]]):
        path.write_bytes(b"".join(changed))
        with pytest.raises(StateError):
            opened(tmp_path)


def test_an_old_copy_is_frozen(tmp_path: Path) -> None:
    """A restored backup, with releases made since, would grant them twice."""
    ledger = small(tmp_path)
    shutil.copytree(tmp_path / "ledger", tmp_path / "copy")
    ledger.reserve(release(2))
    shutil.rmtree(tmp_path / "ledger")
    shutil.copytree(tmp_path / "copy", tmp_path / "ledger")
    with pytest.raises(StateError, match="frozen"):
        opened(tmp_path)


def test_an_old_witness_is_frozen_too(tmp_path: Path) -> None:
    """It could make an old journal look new; nor can it be left out."""
    ledger = small(tmp_path)
    path = witness_of(tmp_path / "ledger")
    old = path.read_bytes()
    ledger.reserve(release(2))
    ledger.reserve(release(3))
    path.write_bytes(old)
    with pytest.raises(StateError, match="frozen"):
        opened(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(StateError, match="frozen"):
        opened(tmp_path)
    path.unlink()
    with pytest.raises(StateError, match="frozen"):
        opened(tmp_path)


def test_a_journal_of_another_history_is_frozen(tmp_path: Path) -> None:
    """As long as the right one, but with other entries."""
    small(tmp_path)
    witness = witness_of(tmp_path / "ledger").read_bytes()
    shutil.rmtree(tmp_path / "ledger")
    witness_of(tmp_path / "ledger").unlink()
    small(tmp_path)
    witness_of(tmp_path / "ledger").write_bytes(witness)
    with pytest.raises(StateError, match="different entries"):
        opened(tmp_path)


def test_a_journal_that_shrinks_while_it_is_open_is_seen(tmp_path: Path) -> None:
    """Not only at the start."""
    ledger = small(tmp_path)
    path = tmp_path / "ledger/journal.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(StateError, match="shorter"):
        ledger.reserve(release(2))


@pytest.mark.parametrize("call", ["write", "fsync"])
@pytest.mark.parametrize("place", [1, 2])
def test_on_a_full_disk_nothing_is_granted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, place: int
) -> None:
    """Journal or witness: the release is refused; with space again the ledger goes on."""
    ledger = small(tmp_path)
    spent, calls, real = ledger.spent("all"), 0, getattr(os, call)

    def full(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == place:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(os, call, full)
    if call == "write" and place == 2:
        ledger.reserve(release(2))  # a journal entry is one write
    else:
        with pytest.raises(StateError, match="cannot be written"):
            ledger.reserve(release(2))
    monkeypatch.undo()
    again = opened(tmp_path)
    assert again.spent("all") >= spent
    again.reserve(release(3))


def test_an_entry_written_in_part_is_not_granted_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The torn bytes stay, in an entry that says so."""
    ledger, real = small(tmp_path), os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:50]))
    with pytest.raises(StateError, match="cannot be written"):
        ledger.reserve(release(2))
    monkeypatch.undo()
    again = opened(tmp_path)
    assert again.torn == 1
    assert again.entries[-1]["kind"] == "torn"
    assert again.entries[-1]["length"] == 50
    again.reserve(release(2))
    assert opened(tmp_path).head() == again.head()


def test_a_ledger_cannot_be_made_where_nobody_may_write(tmp_path: Path) -> None:
    """Said, with the place."""
    (tmp_path / "ledger").write_text("a file")
    with pytest.raises(StateError, match="no ledger can be made"):
        created(tmp_path)


class Dying:
    """In a child: `os.write` and `os.fsync` that kill the process at their `place`-th call."""

    def __init__(self, place: int, *, before: bool, torn: bool) -> None:
        self.write, self.fsync = os.write, os.fsync
        self._place, self._before, self._torn = place, before, torn
        self._calls = 0

    def install(self) -> None:
        """Replace both; the child never puts them back."""
        os.write = self._dying(self.write)  # type: ignore[assignment]
        os.fsync = self._dying(self.fsync)  # type: ignore[assignment]

    def _dying(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(file: int, *rest: bytes) -> object:
            self._calls += 1
            if self._calls != self._place:
                return real(file, *rest)
            if self._torn and rest:
                self.write(file, rest[0][: len(rest[0]) // 2])
            if not self._before:
                real(file, *rest)
            die()

        return call


def killed_at(folder: Path, dying: Dying, run_id: str) -> list[int]:
    """A child charges rounds and is killed on the way; what it was granted before."""
    reading, writing = os.pipe()

    def work() -> None:
        ledger = opened(folder)
        dying.install()
        for number in range(1, 5):
            reservation = ledger.reserve(release(number, run_id=run_id))
            dying.write(writing, bytes([number]))
            ledger.commit(reservation, "cd" * 32)

    child = forked(work)
    os.close(writing)
    os.waitpid(child, 0)
    granted = os.read(reading, 100)
    os.close(reading)
    return list(granted)


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("before", [False, True])
def test_killed_at_any_step_what_was_granted_stays_charged(
    tmp_path: Path, before: bool, torn: bool
) -> None:
    """Before, during and after each write and each sync; then the ledger works on."""
    created(tmp_path, epsilon=GENEROUS)
    for place in range(1, 13):
        run_id = f"run-{place}"
        granted = killed_at(tmp_path, Dying(place, before=before or torn, torn=torn), run_id)
        ledger = opened(tmp_path)
        charged = [key for key in ledger.reservations if key[1] == run_id]
        assert {key[3] for key in charged} >= set(granted)
        assert len(charged) <= len(granted) + 1
        ledger.reserve(release(99, run_id=f"after-{place}"))


@pytest.mark.slow
def test_killed_at_random_instants_what_was_granted_stays_charged(tmp_path: Path) -> None:
    """A hundred times, on one ledger that has to survive them all."""
    created(tmp_path, epsilon=GENEROUS)
    instants = np.random.default_rng(4).uniform(0.0, 0.03, size=100)
    total = 0
    for turn, instant in enumerate(instants):
        reading, writing = os.pipe()

        def work(turn: int = turn, writing: int = writing) -> None:
            ledger = opened(tmp_path)
            for number in range(1, 100_000):
                reservation = ledger.reserve(release(number, run_id=f"run-{turn}"))
                os.write(writing, b"x")
                ledger.commit(reservation, "cd" * 32)

        child = forked(work)
        os.close(writing)
        # Every other child has been granted something when its time begins to run.
        first = len(os.read(reading, 1)) if turn % 2 else 0
        time.sleep(instant)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        granted = first + len(os.read(reading, 100_000))
        os.close(reading)
        charged = sum(key[1] == f"run-{turn}" for key in opened(tmp_path).reservations)
        assert granted <= charged <= granted + 1
        total += granted
    assert total >= 50


@pytest.mark.slow
def test_of_two_processes_that_race_for_the_last_unit_one_is_refused(tmp_path: Path) -> None:
    """A hundred times."""
    for turn in range(100):
        folder = tmp_path / str(turn)
        folder.mkdir()
        ledger = created(folder)
        fits = ledger.forecast(
            release().event, unit="record", adjacency=release().adjacency, server="server"
        )
        for number in range(1, fits):
            ledger.reserve(release(number))
        before = ledger.head().count
        children = [forked(partial(race, folder, 1000 + rival)) for rival in range(2)]
        for child in children:
            os.waitpid(child, 0)
        after = opened(folder)
        assert after.head().count == before + 1
        assert after.spent("all") <= 8.0


def race(folder: Path, number: int) -> None:
    """Try to spend."""
    try:
        opened(folder).reserve(release(number))
    except BudgetExhausted:
        return


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Whoever can read it can sign a ledger that never was."""
    small(tmp_path)
    (tmp_path / "ledger/key").chmod(mode)
    with pytest.raises(StateError, match="owner alone"):
        opened(tmp_path)
    (tmp_path / "ledger/key").chmod(0o600)
    opened(tmp_path)
