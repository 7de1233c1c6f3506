"""Between a request and the data: whatever a client answers is charged to its ledger first."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from client.ledger import Ledger, LedgerHead, Reservation, SiteLedger
from client.ledger_state import Key, Release
from client.participation import Participation
from client.site import Commitment, ThisSite
from client.virtual_ledgers import VirtualLedgers, virtual_budget
from shared.config import RunConfig
from shared.dp.mechanisms import CorrelatedPrivacy, NoPrivacy
from shared.dp.plan import PrivacyPlan
from shared.errors import AggregationRefused, PrivacyError
from shared.messages import TrainInstruction
from shared.query_messages import QueryInstruction
from shared.secagg.refusal import Refusal

Answer = TypeVar("Answer", bound=NDArray[Any])


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A charge whose reply is ready and has not left: it is committed before it does.

    Attributes:
        ledger: Folder of the ledger.
        key: Of the release.
        reply_digest: SHA-256 of what is to leave, hexadecimal.
        opened: The ledger, where it is open already.
    """

    ledger: Path
    key: Key
    reply_digest: str
    opened: SiteLedger | None = field(default=None, repr=False, compare=False)

    def commit(self, *, resumed: bool) -> None:
        """Write down what is to leave; the same once more changes nothing.

        Args:
            resumed: As `Commitment.commit` has it; makes no difference.

        Raises:
            PrivacyError: another reply was committed to the same request before.
            StateError: the ledger cannot be used.
        """
        del resumed
        ledger = Ledger(self.ledger) if self.opened is None else self.opened
        ledger.commit(Reservation(key=self.key, charged=True), self.reply_digest)


@dataclass(frozen=True, slots=True)
class Unnoted:
    """Shares that undo a sum's masks, ready and not sent: noted before they leave.

    Attributes:
        ledger: Folder of the ledger.
        context: Digest of the attempt that is unmasked, hexadecimal.
        opened: The ledger, where it is open already.
    """

    ledger: Path
    context: str
    opened: SiteLedger | None = field(default=None, repr=False, compare=False)

    def commit(self, *, resumed: bool) -> None:
        """Note that the site answers, once for each attempt.

        Args:
            resumed: The very answer was kept before a crash, so it may be noted already.

        Raises:
            AggregationRefused: it has answered before.
            StateError: the ledger cannot be used.
        """
        ledger = Ledger(self.ledger) if self.opened is None else self.opened
        try:
            ledger.unmask(self.context)
        except AggregationRefused as error:
            if not (resumed and error.reason == Refusal.ANSWERED_BEFORE):
                raise


class Charging:
    """The ledgers of the sites that one process serves, for one run.

    Args:
        config: The run's configuration.
        plan: Its privacy plan.
        ledgers: Opens a site's ledger; one that is open already serves all runs. None: of this
            run alone.
    """

    def __init__(
        self,
        config: RunConfig,
        plan: PrivacyPlan,
        ledgers: Callable[[Path], SiteLedger] | None = None,
    ) -> None:
        self._config = config
        self._plan = plan
        self._ledger = ledgers or cache(Ledger)
        self._virtual = cache(self._open_virtual)

    def answered(
        self,
        site: ThisSite,
        instruction: TrainInstruction | QueryInstruction,
        run_id: str,
        answer: Callable[[], Answer],
        unsettled: list[Commitment] | None = None,
    ) -> tuple[Answer, LedgerHead | None]:
        """What `answer` returns, charged before it is called; and where the ledger then stands.

        Args:
            site: Whose ledger.
            instruction: What is answered.
            run_id: Of the run.
            answer: Reads the data.
            unsettled: Where the caller finds what it has to commit before the reply leaves; None:
                it is committed here. Then a release that was charged and never committed, so that
                nothing of it can have left, is computed once more for the same charge.

        Raises:
            BudgetExhausted: the site's budget does not allow it; `answer` was not called.
            PrivacyError: the ledger refuses it for another reason; likewise.
            StateError: the ledger cannot be used; likewise.
        """
        ledger = self._of(site)
        if ledger is None:
            self._check_needs_none()
            return answer(), None
        release = self._release_of(site.server, instruction, run_id)
        # Guarantee: durable before any private byte is read.
        reservation = ledger.reserve(
            release, repeatable=self._config.seeded, unanswered=unsettled is not None
        )
        vector = answer()
        if ledger.remembers_replies:
            digest = hashlib.sha256(np.ascontiguousarray(vector).data).hexdigest()
            if unsettled is None or site.ledger is None:
                ledger.commit(reservation, digest)
            else:
                unsettled.append(Unsettled(site.ledger, reservation.key, digest, ledger))
        return vector, ledger.head()

    def charge_each(
        self, clients: Sequence[int], instruction: TrainInstruction, ledgers: Path, run_id: str
    ) -> Sequence[bool]:
        """As `answered` charges, many virtual clients at once: whose budget allows it.

        Raises:
            PrivacyError: correlated noise, or clients that were asked before.
            StateError: the ledgers cannot be used.
        """
        if isinstance(self._plan.mechanism, NoPrivacy):
            return [True] * len(clients)
        found = self._virtual(ledgers)
        release = self._release_of("", instruction, run_id)
        if self._config.seeded:
            # A seeded run repeats a round after a crash, for the same charge.
            return [found.admits(index, release) for index in clients]
        fits: Sequence[bool] = found.reserve_each(
            np.asarray(clients, dtype=np.int64), release
        ).tolist()
        return fits

    def unmasked(
        self, site: ThisSite, context: bytes, unsettled: list[Commitment] | None = None
    ) -> None:
        """Let `site` answer a request to unmask, once for each attempt's context.

        A site without a ledger has no memory but Flower's context.

        Args:
            site: Whose ledger.
            context: Digest of the attempt that is unmasked.
            unsettled: As `answered` takes it.

        Raises:
            AggregationRefused: it has answered before.
            StateError: the site's ledger cannot be used.
        """
        ledger = self._of(site)
        if ledger is None:
            return
        if unsettled is None or site.ledger is None:
            ledger.unmask(context.hex())
        else:
            unsettled.append(Unnoted(site.ledger, context.hex(), ledger))

    def _check_needs_none(self) -> None:
        if isinstance(self._plan.mechanism, CorrelatedPrivacy):
            # Guarantee: the accounting rests on how seldom a client takes part, which nothing but
            # its ledger remembers from one message to the next.
            raise PrivacyError(
                "correlated noise needs a privacy ledger in the node config (ledger, or "
                "virtual-ledgers in a demonstration), got none"
            )

    def _of(self, site: ThisSite) -> SiteLedger | None:
        if site.ledger is not None:
            return self._ledger(site.ledger)
        if site.virtual_ledgers is None or isinstance(self._plan.mechanism, NoPrivacy):
            return None
        return self._virtual(site.virtual_ledgers).of(site.site.index)

    def _open_virtual(self, folder: Path) -> VirtualLedgers:
        return VirtualLedgers(folder, self._config.population.size, virtual_budget(self._plan))

    def _release_of(
        self, server: str, instruction: TrainInstruction | QueryInstruction, run_id: str
    ) -> Release:
        kind = instruction.kind if isinstance(instruction, QueryInstruction) else "train"
        event, _ = self._plan.events()[kind]
        mechanism = self._plan.mechanism
        return Release(
            server=server,
            run_id=f"{run_id}:{self._config.output.run_id}",
            kind=kind,
            round_number=instruction.round_number,
            attempt=instruction.attempt,
            plan_digest=instruction.plan_digest,
            event=event,
            unit=mechanism.unit,
            adjacency=mechanism.adjacency,
            participation=(
                self._participation(instruction.round_number) if kind == "train" else None
            ),
        )

    def _participation(self, round_number: int) -> Participation | None:
        mechanism = self._plan.mechanism
        if not isinstance(mechanism, CorrelatedPrivacy):
            return None
        return Participation(
            min_separation=mechanism.min_separation,
            most=mechanism.max_participations,
            repeat=mechanism.repeat_event(round_number),
        )
