"""A site's guard killed at any point of a message: the same model, and nothing unaccounted."""

from pathlib import Path
from typing import Any

import pytest

from client.ledger import Ledger
from shared.config import Scalar
from simulations.federation import simulate
from tests.client.guarded_grid import federated, made_sites
from tests.client.test_guard import MASKED, MODEL, SEEDED
from tests.integration.faults.deaths import SEEDS, Points, after, before, torn_append, wrap
from tests.integration.faults.forked_sites import ForkedSite

_WRITING: list[bool] = []
SITES, ROUNDS = 3, 4
JOURNAL = "journal.jsonl"


def half_written(target: str) -> Any:
    """Die while `target` writes its file: the new one is there in part, beside the old one."""

    def noting(inner: Any) -> Any:
        def noted(*given: Any) -> None:
            _WRITING.append(True)
            inner(*given)

        return noted

    def install() -> None:
        wrap(target, noting)
        before("os:fsync", lambda *_given: bool(_WRITING))()

    return install


def entry(kind: bytes) -> Any:
    """An entry of the ledger's journal is of this kind."""
    return lambda _path, line, *_given: b'"kind":"' + kind + b'"' in line.replace(b" ", b"")


LEDGER, KEPT, APPEND = "client.ledger:Ledger", "client.in_flight:InFlight", "append_durably"
COMPUTED = "client.in_process:InProcess"
SERVER = "tests.integration.faults.forked_sites:FileServer"
ANY: Points = {
    "given out, not noted": before(f"{KEPT}.take"),
    "note half written": half_written(f"{KEPT}.take"),
    "noted": after(f"{KEPT}.take"),
    "masked": after("client.handling:Handling.reply"),
    "answer half written": half_written(f"{KEPT}.keep"),
    "answer on disk": after(f"{KEPT}.keep"),
    "before it is sent": before(f"{SERVER}.send"),
    "sent": after(f"{SERVER}.send"),
    "message forgotten": after(f"{KEPT}.done"),
}
RELEASES: Points = ANY | {
    "before RESERVE": before(f"{LEDGER}.reserve"),
    "RESERVE half written": torn_append(f"client.ledger_journal:{APPEND}", JOURNAL),
    "RESERVE on disk, not witnessed": before("client.ledger_journal:Journal._write_witness"),
    "RESERVED": after(f"{LEDGER}.reserve"),
    "before COMMIT": before(f"{LEDGER}.commit"),
    "COMMIT half written": torn_append(
        f"client.ledger_journal:{APPEND}", JOURNAL, entry(b"commit")
    ),
    "COMMITTED": after(f"{LEDGER}.commit"),
}
POINTS = {
    "train": RELEASES | {"computed": after(f"{COMPUTED}.update")},
    "evaluate": {"RESERVED": RELEASES["RESERVED"], "computed": after(f"{COMPUTED}.rows"),
                 "COMMITTED": RELEASES["COMMITTED"]},
    "query.unmask": ANY | {
        "before it is noted": before(f"{LEDGER}.unmask"),
        "noted in the ledger": after(f"{LEDGER}.unmask"),
    },
    "query.enrol": ANY,
}  # fmt: skip


def reservations(site: ForkedSite) -> dict[Any, str | None]:
    """What the site's ledger says."""
    return Ledger(site.home.ledger).reservations


def check_charged(site: ForkedSite) -> None:
    """Whatever had left when the guard died was reserved and committed before."""
    places = {key[2:4] for key, reply in reservations(site).items() if reply is not None}
    for letter in site.files.letters():
        kind, number = letter_place(letter)
        if kind in {"train", "evaluate"}:
            assert (kind, number) in places


def letter_place(letter: Any) -> tuple[str, int]:
    """Kind and round of an answer."""
    from flwr.proto.message_pb2 import Message as ProtoMessage

    metadata = ProtoMessage.FromString(letter.message).metadata
    return metadata.message_type, int(metadata.group_id or 0)


def scripted(folder: Path, flat: dict[str, Scalar]) -> list[ForkedSite]:
    """Sites that share all the points among them."""
    made = made_sites(folder, flat)
    sites = [ForkedSite(site.home, site.overrides, check=check_charged) for site in made]
    every = [(kind, f"{kind}: {name}", at) for kind in POINTS for name, at in POINTS[kind].items()]
    start = int(flat["seed"]) % SITES
    for number, death in enumerate(every):
        sites[(start + number) % SITES].deaths.append(death)
    return sites


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_guards_may_be_killed_at_every_point(tmp_path: Path, seed: Scalar) -> None:
    """All points in one run, over enrolment, training, questions and the undoing of masks."""
    flat = SEEDED | MASKED | {"rounds": ROUNDS, "seed": seed, "privacy.epsilon_budget": 1e3}
    whole = simulate(flat | {"output.dir": str(tmp_path / "whole")})
    flat |= {"output.dir": str(tmp_path / "parts")}
    sites = scripted(tmp_path, flat)
    run = federated(sites, flat)  # type: ignore[arg-type]
    left = [name for site in sites for _, name, _ in site.deaths]
    assert left == [], "never came there"
    assert sum(len(site.died_at) for site in sites) == sum(map(len, POINTS.values()))
    assert (run / MODEL).read_bytes() == (whole / MODEL).read_bytes()
    for site in sites:
        check_charged(site)
        found = reservations(site)
        assert len(found) == ROUNDS + ROUNDS // 2
        assert None not in found.values()
        for letters in site.server.sent.values():
            assert len({letter.digest for letter in letters}) == 1
        names = {path.name for path in site.home.state.iterdir()}
        assert all(name.startswith("run-") for name in names), names
