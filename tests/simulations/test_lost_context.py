"""A client's process that dies once its reply has left, and before Flower has kept its context."""

import copy
from pathlib import Path

from flwr.app import Context, Message, RecordDict

from shared.aggregation_messages import UNMASK
from shared.config import Scalar
from shared.secagg.refusal import Refusal
from tests.integration.real_sites import RealSite, real_sites
from tests.server.toy import settings
from tests.simulations.hostile_server import FIRST_NODE, Watched
from tests.simulations.toy import SETTINGS


class Forgetful(Watched):
    """Real sites that come back to the context of before each answer, and are asked it again.

    Args:
        raw: Of the run.
        sites: In the order of their names.
        node: What all set otherwise than documented.
    """

    def __init__(
        self, raw: dict[str, Scalar], sites: list[RealSite], node: dict[str, Scalar]
    ) -> None:
        super().__init__(raw, self._keep, self._lose)
        self._sites, self._node = sites, node
        self._kept: dict[int, RecordDict] = {}
        self.again: dict[str, list[str]] = {"train": [], UNMASK: []}

    def _context(self, index: int) -> Context:
        found = super()._context(index)
        found.node_config = self._sites[index].node_config | self._node
        return found

    def _keep(self, message: Message) -> None:
        index = message.metadata.dst_node_id - FIRST_NODE
        self._kept[index] = copy.deepcopy(self._context(index).state)

    def _lose(self, message: Message, reply: Message) -> None:
        kind, index = message.metadata.message_type, message.metadata.dst_node_id - FIRST_NODE
        if kind in self.again and not reply.has_error():
            context = self._context(index)
            after, context.state = context.state, self._kept[index]
            again = self.deliver(message)
            self.again[kind].append(str(again.error.reason) if again.has_error() else "")
            context.state = after


def told_again(folder: Path, node: dict[str, Scalar]) -> dict[str, list[str]]:
    """Why, in two rounds, nothing was told for a second time; "" where it was."""
    sites, _ = real_sites(folder / "sites", 3)
    own: dict[str, Scalar] = {
        "population.size": 3, "seed": "os", "privacy.unit": "record",
        "privacy.noise_multiplier": 3.0,
    }  # fmt: skip
    grid = Forgetful(settings(folder, SETTINGS | own), sites, node)
    grid.play()
    assert [len(reasons) for reasons in grid.again.values()] == [6, 4]
    return grid.again


def test_a_client_that_comes_back_to_its_old_context_tells_nothing_twice(tmp_path: Path) -> None:
    """Its ledger remembers which attempts it masked, and which it helped to unmask."""
    found = told_again(tmp_path, {})
    for reason in found["train"]:
        assert reason.startswith("PrivacyError: ")
        assert "was asked for before" in reason
    for reason in found[UNMASK]:
        assert reason.startswith(f"AggregationRefused: {Refusal.ANSWERED_BEFORE}: ")


def test_without_a_ledger_nothing_remembers_it(tmp_path: Path) -> None:
    """A site that keeps none gives this up, as docs/secure-aggregation.md says."""
    found = told_again(tmp_path, {"ledger": "", "insecure-no-ledger": True})
    assert {reason for reasons in found.values() for reason in reasons} == {""}
