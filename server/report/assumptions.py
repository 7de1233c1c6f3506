"""What claims rest on, each with how it stands: enforced, assumed or violated."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from shared.dp.mechanisms import CLIENT_LEVEL, CorrelatedPrivacy, NoPrivacy, RecordPrivacy
from shared.dp.plan import PrivacyPlan
from shared.secagg.plan import AggregationPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumption:
    """What a claim rests on; status: enforced, verified, assumed or violated."""

    id: str
    text: str
    status: str
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforcement:
    """What a server can know of whoever decides at the sites on what leaves them: not much.

    Attributes:
        enrolled: Sites of the run.
        claimed: Those that say that it is their own installed guard. Nothing proves it.
        signed: Whether the app bundle of the run carries a signature, for guards to check.
    """

    enrolled: int = 0
    claimed: int = 0
    signed: bool = False

    @property
    def text(self) -> str:
        """In words; never more than "claimed"."""
        if not self.claimed:
            return "none: the run's code decides at every site on what leaves it"
        if not self.signed:
            return "none: the app bundle of the run has no signature that a guard could check"
        return (
            f"claimed by {self.claimed} of {self.enrolled} sites, whose installed guards check "
            "bundle, plan, policy and ledger; nothing attests that they do"
        )


NO_ENFORCEMENT = Enforcement()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What decides a verdict besides plan and claims.

    Attributes:
        seeded: Whether whoever knows the seed can repeat the run's randomness.
        records: Records of a site, where that is public; else None.
        uncharged: Finished rounds for which nothing was charged.
        simulated: Whether all clients ran in one process.
        rule: By which the server combines updates, of `server.aggregation`.
        enforcement: At the sites.
    """

    seeded: bool
    records: int | None = None
    uncharged: tuple[int, ...] = ()
    simulated: bool = False
    rule: str = "mean"
    enforcement: Enforcement = NO_ENFORCEMENT

    @property
    def client_side_enforcement(self) -> str:
        """Who decides on what leaves a site, as far as it is known."""
        return "none: a simulation in one process" if self.simulated else self.enforcement.text


def assumptions(plan: PrivacyPlan, facts: Facts) -> tuple[Assumption, ...]:
    """What the claims of a run under `plan` rest on."""
    if isinstance(plan.mechanism, NoPrivacy):
        return ()
    found = [*_of_every_run(plan, seeded=facts.seeded)]
    if facts.rule != "mean":
        found.append(_combined(facts.rule))
    if isinstance(plan.mechanism, RecordPrivacy) or plan.distributed:
        found.append(_client_code(facts))
    if isinstance(plan.mechanism, CorrelatedPrivacy):
        found.append(_participation(plan.mechanism))
    if isinstance(plan.mechanism, CLIENT_LEVEL) and not plan.distributed:
        found.append(_TRUSTED_SERVER if plan.aggregation is None else _SERVER_OF_SUMS)
    if plan.distributed and plan.aggregation is not None:
        found += _of_shares(plan.aggregation, simulated=facts.simulated)
    return tuple(found)


_TRUSTED_SERVER = Assumption(
    id="trusted_server",
    text="the server adds the noise, and tells nobody the updates or the cohort",
    status="assumed",
    evidence="it receives each clipped update; no secure aggregation is in use",
)
_SERVER_OF_SUMS = Assumption(
    id="trusted_server",
    text="the server adds the noise, and tells nobody the sums before it",
    status="assumed",
    evidence="it receives the sum of each round in clear; each update is under masks",
)


def _client_code(facts: Facts) -> Assumption:
    return Assumption(
        id="client_code",
        text="every site runs this client unmodified, with its own records only",
        status="assumed",
        evidence="nothing attests the code that a site runs; client-side enforcement: "
        + facts.client_side_enforcement,
    )


def _of_every_run(plan: PrivacyPlan, *, seeded: bool) -> tuple[Assumption, ...]:
    return (
        Assumption(
            id="secret_randomness",
            text="sampling and noise cannot be predicted",
            status="violated" if seeded else "enforced",
            evidence="derived from the run's seed" if seeded else "keys of the operating system",
        ),
        Assumption(
            id="fixed_plan",
            text="clip, noise, sampling, steps and divisor are public and fixed before the run",
            status="enforced",
            evidence=f"plan {plan.digest()}, checked by every client before it reads data",
        ),
    )


def _combined(rule: str) -> Assumption:
    return Assumption(
        id="aggregation_rule",
        text=f"the rule that combines updates ({rule}) sees them after their noise alone, which "
        "costs no privacy",
        status="enforced",
        evidence="each site adds its own noise; what is made of noisy updates is post-processing",
    )


def _participation(mechanism: CorrelatedPrivacy) -> Assumption:
    return Assumption(
        id="participation",
        text=f"no client takes part twice within {mechanism.min_separation} rounds, or "
        f"more than {mechanism.max_participations} times",
        status="enforced",
        evidence="the server's rotation, and the ledger of every unmodified client",
    )


def _of_shares(aggregation: AggregationPlan, *, simulated: bool) -> tuple[Assumption, ...]:
    """Without any one of these, shares of noise hide nobody from the server."""
    roster = "derived by the simulator, vouched for by nobody" if simulated else "the enrolment's"
    return (
        Assumption(
            id="honest_fraction",
            text=f"at most {aggregation.corrupt_fraction!r} of the population works with the "
            "server, or tells others its share of the noise",
            status="assumed",
            evidence="nothing can measure it",
        ),
        Assumption(
            id="roster",
            text="the roster of identities came by a channel that the server cannot rewrite",
            status="assumed",
            evidence=roster,
        ),
        Assumption(
            id="noise_shares",
            text="every survivor adds its share, so that any t - c honest ones carry all the noise",
            status="assumed",
            evidence="the share follows from the plan; nobody sees whether a site added it",
        ),
        Assumption(
            id="masks",
            text="nobody breaks the ciphers, signatures and key exchange of the masks",
            status="assumed",
            evidence="AES-256, ChaCha20-Poly1305, Ed25519, X25519, SHA-256",
        ),
        *_of_helpers(aggregation),
    )


def _of_helpers(aggregation: AggregationPlan) -> tuple[Assumption, ...]:
    if not aggregation.helpers:
        return ()
    return (
        Assumption(
            id="honest_helper",
            text=f"one of the helpers {', '.join(aggregation.helper_names)} does not work with the "
            "server",
            status="assumed",
            evidence="each client masks with all of them; nothing can measure it",
        ),
    )


def as_json(found: Sequence[Assumption]) -> list[dict[str, str]]:
    """The report's `assumptions`."""
    return [asdict(assumption) for assumption in found]
