"""A guard that dies at any point: the same model, nothing charged that is not answered once.

Here it dies by an exception that nothing catches, and a new one is made from its home;
tests/client/test_guard_killed.py does it to processes.
"""

from pathlib import Path

import pytest
from flwr.app import Message

from client.back_off import BackOff
from client.fleet_errors import FleetUnavailable
from client.in_flight import InFlight
from client.ledger import Ledger
from client.letters import Received
from shared.config import Scalar
from simulations.federation import simulate
from tests.client.guarded_grid import POINTS, GuardedSite, Script, federated, made_sites
from tests.client.test_guard import MASKED, MODEL, SEEDED

QUICK: dict[str, Scalar] = {"privacy.unit": "client", "rounds": 2}
pytestmark = pytest.mark.no_cover


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, bytes]:
    """The model of a run in which nobody dies, in clear and under masks."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return {
        masked: (
            simulate(
                SEEDED
                | QUICK
                | (MASKED if masked else {})
                | {"output.dir": str(folder / str(masked))}
            )
            / MODEL
        ).read_bytes()
        for masked in (False, True)
    }


def disturbed(
    folder: Path, *deaths: tuple[str, str], masked: bool = False, seed: Scalar = 11
) -> tuple[bytes, GuardedSite]:
    """The model of a run in which the second site dies so, and that site."""
    flat = SEEDED | QUICK | (MASKED if masked else {}) | {"output.dir": str(folder), "seed": seed}
    sites = made_sites(folder, flat, unit="client")
    sites[1].script = Script(deaths=list(deaths))
    sites[1].start()
    run = federated(sites, flat)
    assert sites[1].script.deaths == [], "it never came to that point"
    assert sites[1].starts == 2 + len(deaths)
    return (run / MODEL).read_bytes(), sites[1]


def check_released(site: GuardedSite, rounds: int, questions: int) -> None:
    """Each attempt is charged once and committed, and one set of bytes left for it."""
    reservations = Ledger(site.home.ledger).reservations
    assert len(reservations) == rounds + questions
    assert None not in reservations.values()
    for letters in site.server.sent.values():
        assert len({letter.digest for letter in letters}) == 1
        assert len({str(letter.objects) for letter in letters}) == 1
    assert list(site.home.state.glob("message-*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_in_clear_a_guard_may_die_at_any_point(
    tmp_path: Path, undisturbed: dict[bool, bytes], point: str
) -> None:
    """While it enrols it may, too."""
    deaths = [("train", point)]
    if point not in {"reserved", "computed"}:
        deaths.append(("query.enrol", point))
    model, site = disturbed(tmp_path, *deaths)
    assert model == undisturbed[False]
    check_released(site, rounds=2, questions=0)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_under_masks_a_guard_may_die_at_any_point(
    tmp_path: Path, undisturbed: dict[bool, bytes], point: str
) -> None:
    """Of its upload, of a question, and of what it tells so that masks are undone."""
    deaths = [("train", point), ("evaluate", point)]
    if point not in {"reserved", "computed"}:
        deaths.append(("query.enrol", point))
    model, site = disturbed(tmp_path, *deaths, masked=True)
    assert model == undisturbed[True]
    check_released(site, rounds=2, questions=1)


@pytest.mark.slow
@pytest.mark.parametrize("point", [p for p in POINTS if p not in {"reserved", "computed"}])
def test_a_member_may_die_over_what_undoes_the_masks(
    tmp_path: Path, undisturbed: dict[bool, bytes], point: str
) -> None:
    """Whoever is asked dies, comes back, and answers once, in the same bytes."""
    flat = SEEDED | QUICK | MASKED | {"output.dir": str(tmp_path)}
    sites = made_sites(tmp_path, flat, unit="client")
    for site in sites:
        site.script = Script(deaths=[("query.unmask", point)])
        site.start()
    run = federated(sites, flat)
    assert (run / MODEL).read_bytes() == undisturbed[True]
    assert any(not site.script.deaths for site in sites)
    for site in sites:
        check_released(site, rounds=2, questions=1)


@pytest.mark.slow
def test_a_guard_may_die_at_one_point_after_the_other(
    tmp_path: Path, undisturbed: dict[bool, bytes]
) -> None:
    """Of the same message: two of three tries."""
    model, site = disturbed(
        tmp_path, ("train", "reserved"), ("train", "computed"), ("train", "kept")
    )
    assert model == undisturbed[False]
    check_released(site, rounds=2, questions=0)


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("point", ["computed", "masked", "committed", "sent"])
def test_without_a_seed_the_same_attempt_leaves_in_the_same_bytes(
    tmp_path: Path, point: str, *, masked: bool
) -> None:
    """Fresh noise each time it is computed; but once it is kept, it is kept."""
    _, site = disturbed(tmp_path, ("train", point), masked=masked, seed="os")
    check_released(site, rounds=2, questions=1 if masked else 0)


@pytest.mark.slow
def test_a_message_that_always_ends_the_guard_is_given_up(tmp_path: Path) -> None:
    """Charged, not answered: the run goes on without this site's update."""
    flat = SEEDED | QUICK | {"output.dir": str(tmp_path), "rounds": 1}
    sites = made_sites(tmp_path, flat, unit="client")
    sites[1].script = Script(deaths=[("train", "reserved")] * 3)
    sites[1].start()
    federated(sites, flat)
    assert list(Ledger(sites[1].home.ledger).reservations.values()) == [None]
    [refused] = [detail for event, detail in sites[1].events if event == "refused"]
    assert refused["reason"] == "given_up"


@pytest.mark.slow
def test_a_message_is_not_given_up_because_connections_break(
    tmp_path: Path, undisturbed: dict[bool, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Far more often than the guard may die over it."""
    monkeypatch.setattr(BackOff, "sleep", lambda *_given, **_named: 0.0)
    flat = SEEDED | QUICK | {"output.dir": str(tmp_path)}
    sites = made_sites(tmp_path, flat, unit="client")
    server = sites[1].server
    whole, lost = server.content, [0]

    def content(received: Received) -> Message:
        lost[0] += 1
        if lost[0] % 10:
            raise FleetUnavailable("the connection broke")
        return whole(received)

    server.content = content  # type: ignore[method-assign]
    run = federated(sites, flat)
    assert lost[0] == 30  # to enrol, and two rounds
    assert (run / MODEL).read_bytes() == undisturbed[False]
    check_released(sites[1], rounds=2, questions=0)


def test_the_check_of_what_left_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A guard that keeps no answer gives two to one message."""
    monkeypatch.setattr(InFlight, "keep", lambda *_: None)
    _, site = disturbed(tmp_path, ("train", "sent"), seed="os")
    with pytest.raises(AssertionError):
        check_released(site, rounds=2, questions=0)
