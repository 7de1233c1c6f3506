"""When a charge is written down as answered, by whom, and that nobody who forgets it gains."""

from pathlib import Path

import numpy as np
import pytest

from client.charging import Unnoted, Unsettled
from client.in_process import InProcess
from client.ledger import Ledger
from client.session import Session
from client.site import Commitment, Node
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.errors import AggregationRefused, MessageError, PrivacyError
from shared.messages import TrainInstruction
from shared.vectors import FlatVector
from tests.client.site_ledger import created, opened
from tests.client.test_session import RAW, instruction

CONFIG = RunConfig.from_run_config(RAW | {"seed": "os", "privacy.noise_multiplier": 30.0})


def asked() -> TrainInstruction:
    """The first round of CONFIG."""
    return instruction(PrivacyPlan.from_config(CONFIG))


def node(folder: Path, unsettled: list[Commitment] | None, number: str = "7") -> Node:
    """A demonstration's site with a ledger of its own."""
    part: dict[str, Scalar] = {
        "allow-seeded-runs": True,
        "partition-id": 0,
        "num-partitions": 3,
        "ledger": str(folder / "ledger"),
    }
    return Node(part, number, unsettled=unsettled)


def test_a_reply_is_committed_when_its_sender_says_so(tmp_path: Path) -> None:
    """Charged before it is computed; not committed until then, and the same once more."""
    created(tmp_path)
    waiting: list[Commitment] = []
    Session(CONFIG, InProcess(CONFIG)).train(node(tmp_path, waiting), asked())
    assert list(opened(tmp_path).reservations.values()) == [None]
    [charge] = waiting
    charge.commit(resumed=False)
    charge.commit(resumed=True)
    assert isinstance(charge, Unsettled)
    assert list(opened(tmp_path).reservations.values()) == [charge.reply_digest]
    Unsettled(charge.ledger, charge.key, charge.reply_digest).commit(
        resumed=True
    )  # as after a restart


def test_what_was_not_committed_is_computed_again_and_paid_once(tmp_path: Path) -> None:
    """Of two computations one can be committed, so that one leaves."""
    created(tmp_path)
    waiting: list[Commitment] = []
    updates = [
        Session(CONFIG, InProcess(CONFIG)).train(node(tmp_path, waiting), asked()).update
        for _ in range(2)
    ]
    assert not np.array_equal(updates[0], updates[1])
    assert len(opened(tmp_path).reservations) == 1
    first, second = waiting
    second.commit(resumed=False)
    with pytest.raises(PrivacyError, match="committed before"):
        first.commit(resumed=False)
    with pytest.raises(PrivacyError, match="asked for before"):
        Session(CONFIG, InProcess(CONFIG)).train(node(tmp_path, waiting), asked())


def test_a_round_that_a_resumed_run_asks_again_is_charged_again_and_noised_once(
    tmp_path: Path,
) -> None:
    """Flower gives a resumed run another number, and a site takes nobody's word for what it is.

    A seeded run gets the same bytes, under two charges: the ledger shows more than was released.
    """
    created(tmp_path)
    config = RunConfig.from_run_config(CONFIG.flat() | {"seed": 11})
    waiting: list[Commitment] = []
    for number in ("7", "7", "8"):
        Session(config, InProcess(config)).train(
            node(tmp_path, waiting, number), instruction(PrivacyPlan.from_config(config))
        )
    for charge in waiting:
        charge.commit(resumed=False)
    found = opened(tmp_path).reservations
    assert [key[1].partition(":")[0] for key in found] == ["7", "8"]
    assert len({key[2:] for key in found}) == 1
    assert len(set(found.values())) == 1


def test_without_a_sender_who_commits_a_repeated_request_is_refused_as_ever(tmp_path: Path) -> None:
    """Whatever became of the first."""
    created(tmp_path)
    own = Session(CONFIG, InProcess(CONFIG))
    own.train(node(tmp_path, []), asked())
    with pytest.raises(PrivacyError, match="asked for before"):
        own.train(node(tmp_path, None), asked())


def test_shares_are_noted_once_but_for_the_answer_that_was_kept(tmp_path: Path) -> None:
    """An answer that a crash left on disk may have been noted already; another one may not."""
    ledger = created(tmp_path)
    for note in (Unnoted(tmp_path / "ledger", "ab"), Unnoted(tmp_path / "ledger", "cd", ledger)):
        note.commit(resumed=note.opened is not None)
        note.commit(resumed=True)
        with pytest.raises(AggregationRefused, match="answered_before"):
            note.commit(resumed=False)
    assert opened(tmp_path).head().count == 3


class Wrong(InProcess):
    """A worker that answers in another shape."""

    def update(self, *args: object) -> FlatVector:
        """One number too many."""
        del args
        return np.zeros(3, dtype=np.float32)


def test_an_update_of_another_shape_does_not_leave(tmp_path: Path) -> None:
    """What computes is not trusted with the form of what leaves."""
    created(tmp_path)
    with pytest.raises(MessageError, match="expected an update of shape"):
        Session(CONFIG, Wrong(CONFIG)).train(node(tmp_path, None), asked())
    assert list(Ledger(tmp_path / "ledger").reservations.values()) == [None]
