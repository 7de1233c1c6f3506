"""What a site's guard does with one message: may it be answered, and by what; nothing is sent here.

The run's bundle is approved, its plan is within the policy, the message is of the plan; then the
session charges the ledger and lets the worker compute. All of it is the site's installed code.
"""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache

from flwr.app import Context, Error, Message, RecordDict
from flwr.common.constant import ErrorCode

from client.approval import Approvals, NotApproved
from client.bundle import Bundle, BundleRefused
from client.computing import Computing
from client.edge import edge
from client.fleet import RunOrder
from client.home import SiteHome
from client.ledger import Ledger
from client.policy import PolicyRefused
from client.recorder import Recorder
from client.session import Session
from client.site import Commitment, Node
from client.site_settings import SiteSettings
from shared.aggregation_messages import UnmaskMessage
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.errors import AggregationRefused, FederationError, MessageError
from shared.messages import GUARD, TrainInstruction
from shared.query_messages import QueryInstruction
from shared.secagg.packing import context_from_bytes, fields

_LOGGER = logging.getLogger("murmura.guard")
_SIGNATURE = "output.bundle_signature"
_INVALID = ErrorCode.INVALID_FAB
_RAISED = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
ComputingFor = Callable[[Bundle, RunConfig], Computing]


@dataclass(frozen=True, slots=True)
class SiteRun:
    """A run that this site takes part in.

    Attributes:
        config: Its configuration.
        session: Answers for it.
        bundle_hash: Of its code.
    """

    config: RunConfig
    session: Session = field(repr=False)
    bundle_hash: str


class Handling:
    """One site's answers.

    Args:
        home: The site's.
        settings: Its site.toml.
        computing_for: Who computes with a bundle's code.
        record: Where events are kept.
        now: Local time.
    """

    def __init__(
        self,
        home: SiteHome,
        settings: SiteSettings,
        computing_for: ComputingFor,
        record: Recorder,
        now: Callable[[], datetime],
    ) -> None:
        self._home = home
        self._settings = settings
        self._computing_for = computing_for
        self._record = record
        self._now = now
        self._approvals = Approvals(home, settings.site.app_key)
        # One for all runs: each holds what it must remember of every release there ever was.
        self._ledgers = cache(Ledger)

    def open(self, run_id: int, order: RunOrder, content: bytes) -> SiteRun:
        """The run, if its bundle is approved and its plan within the policy.

        Raises:
            BundleRefused: a bundle that is not even unpacked.
            NotApproved: a bundle that nobody here has accepted.
            PolicyRefused: another plan or task than the owner allows.
            ConfigurationError: settings that are none.
        """
        bundle = Bundle(content)
        raw = bundle.run_config(order.overrides)
        self._approvals.check(bundle, str(raw.get(_SIGNATURE, "")))
        config = RunConfig.from_run_config(raw)
        plan = PrivacyPlan.from_config(config)
        self._settings.policy.check_run(plan, config.task, seeded=config.seeded)
        self._record("plan", run=str(run_id), plan=plan.digest(), rounds=plan.rounds)
        session = Session(config, self._computing_for(bundle, config), self._ledgers)
        return SiteRun(config, session, bundle.hash)

    def reply(
        self, run: SiteRun, message: Message, state: RecordDict, unsettled: list[Commitment]
    ) -> RecordDict:
        """What answers `message`.

        Args:
            run: Whose message it is.
            message: With its content.
            state: Secure aggregation of the run; changed in place.
            unsettled: Where is put what must be committed before the answer leaves.

        Raises:
            FederationError: it is not answered.
        """
        self._settings.policy.check_hour(self._now())
        node = Node(self._node_config(), str(message.metadata.run_id), state, unsettled)

        def answered(asked: Message, context: Context) -> Message:
            del context
            return Message(self._answered(run.session, node, asked), reply_to=asked)

        # Nothing of an unforeseen exception but its class goes on.
        return edge(answered)(message, _NO_CONTEXT).content

    def _answered(self, session: Session, node: Node, message: Message) -> RecordDict:
        kind, content = message.metadata.message_type, message.content
        if kind == "query.enrol":
            return replace(session.enrol(node), enforced_by=GUARD).to_record()
        if kind == "query.unmask":
            return session.unmask(node, UnmaskMessage.from_record(content)).to_record()
        if kind == "train":
            training = TrainInstruction.from_record(content)
            self._check_round(training.clipping_norm, training.aggregation)
            return session.train(node, training).to_record()
        if kind in {"evaluate", "query.statistics"}:
            question = QueryInstruction.from_record(content)
            self._check_round(0.0, question.aggregation)
            return session.query(node, question).to_record()
        raise MessageError(f"expected a message of the protocol, got {kind!r}")

    def _check_round(self, clipping_norm: float, aggregation: bytes) -> None:
        cohort = None
        if aggregation:
            cohort = len(context_from_bytes(fields(aggregation, 2)[1]).cohort)
        self._settings.policy.check_round(clipping_norm, cohort)

    def _node_config(self) -> dict[str, Scalar]:
        home = self._home
        return self._settings.node_config(
            ledger=str(home.ledger),
            identity=str(home.identity),
            roster=str(home.roster) if home.roster.exists() else "",
            memory=str(home.memory),
        )


def refusal(message: Message, error: FederationError) -> Message:
    """The answer that says of `error` its class, and nothing else."""
    # Secrecy: a text may hold what the site alone should know; `edge` made the one that is told.
    reason = str(error) if type(error) is FederationError else type(error).__name__
    code = _INVALID if isinstance(error, NotApproved | BundleRefused) else _RAISED
    return Message(Error(code=code, reason=reason), reply_to=message)


def reasons(error: FederationError) -> tuple[str, ...]:
    """Short codes of why, for the site's audit log."""
    if isinstance(error, PolicyRefused):
        return error.rules
    if isinstance(error, NotApproved):
        return (error.missing,)
    if isinstance(error, BundleRefused):
        return (error.flaw,)
    if isinstance(error, AggregationRefused):
        return (error.reason,)
    return (re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower(),)


_NO_CONTEXT = Context(0, 0, {}, RecordDict(), {})
