"""The population is known by names, complete, before the first round."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from flwr.app import Message, RecordDict

from server.exchange import POLL_INTERVAL_S
from server.roster import Roster, enrol
from shared.errors import ConfigurationError, ProtocolError
from tests.server.fake_grid import FIRST_NODE, Answer, FakeGrid, failed, named, silent
from tests.server.toy import config


def enrolled(enrolment: Answer | None = None, *, nodes: int = 3) -> Roster:
    """The roster of a grid of three."""
    grid = FakeGrid(nodes, silent, enrolment=enrolment)
    return enrol(grid, config(Path()))


def test_clients_are_in_the_order_of_their_names_whatever_their_nodes() -> None:
    """Sampling is by position, so it must not depend on a transport's node ids."""
    found = enrolled()
    assert found.client_ids == ("site-0", "site-1", "site-2")
    assert found.node_ids == {f"site-{i}": FIRST_NODE + 2 - i for i in range(3)}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (lambda message: failed(message, "no data " + "z" * 900), "no data zzz"),
        (lambda message: Message(RecordDict({}), reply_to=message), "expected a record"),
        (lambda message: named("n" * 101, message), "at most 100 characters, got 101"),
        (lambda message: named("a\nb", message), "printable"),
    ],
)
def test_a_malformed_enrolment_leaves_its_node_out_and_says_why(
    wrong: Callable[[Message], Message],
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Then the population is not complete, which sampling and divisor rest on."""

    def answer(client: int, message: Message) -> list[Message]:
        return [wrong(message) if client == 0 else named(f"site-{client}", message)]

    with pytest.raises(ConfigurationError, match=r"impossible cohort.*3 clients.*got 2") as caught:
        enrolled(answer)
    assert reason in str(caught.value)
    [warning] = caplog.records
    assert reason in warning.getMessage()
    assert len(warning.getMessage()) < 250


def test_two_nodes_of_one_name_stop_the_run() -> None:
    """One client would be sampled twice."""
    with pytest.raises(ProtocolError, match="got two for 'same'"):
        enrolled(lambda client, message: [named("same" if client else "other", message)])


def test_more_clients_than_the_population_are_refused() -> None:
    """The public constant N would be wrong."""
    with pytest.raises(ConfigurationError, match=r"impossible cohort.*= 3 clients.*got 4$"):
        enrolled(nodes=4)


def test_too_few_nodes_are_refused_when_the_time_is_up() -> None:
    """And nobody is asked for a name."""
    with pytest.raises(ConfigurationError, match=r"impossible cohort.*got 2 nodes online"):
        enrolled(lambda client, message: pytest.fail(f"{client} was asked: {message}"), nodes=2)


def test_nodes_that_come_later_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """In deployment sites start one after another."""

    class Filling(FakeGrid):
        seen = 0

        def get_node_ids(self) -> Iterable[int]:
            self.seen = min(3, self.seen + 1)
            return range(FIRST_NODE, FIRST_NODE + self.seen)

    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    patient = config(Path(), {"cohort.timeout_s": 60.0})
    assert len(enrol(Filling(3, silent), patient).client_ids) == 3
    assert slept == [POLL_INTERVAL_S] * 2
