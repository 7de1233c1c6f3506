"""What a server and the clients that work with it can make of all that they were told.

Independent of client and server code: it counts who told which share of which seed, adds the shares
that corrupt members hold anyway, and looks whose sum is then without masks.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

from shared.secagg.exchange import RoundContext, UnmaskAnswer, UnmaskRequest
from shared.secagg.parameters import AggregationParameters
from shared.secagg.transcript import KEY_BYTES

Attempt = tuple[str, int, int]


@dataclass
class Knowledge:
    """Of one run in which everybody masks with everybody and all are of the committee.

    Attributes:
        corrupt: Clients that tell the server all.
        parameters: Of each cohort, by its size.
        contexts: In which somebody uploaded, by digest.
        uploaded: Who did, by digest.
        tellers: Members that told their share of the seed of (client, other), or of the client's
            own if other is "".
    """

    corrupt: frozenset[str]
    parameters: dict[int, AggregationParameters]
    contexts: dict[bytes, RoundContext] = field(default_factory=dict)
    uploaded: dict[bytes, set[str]] = field(default_factory=lambda: defaultdict(set))
    tellers: dict[tuple[bytes, str, str], set[str]] = field(
        default_factory=lambda: defaultdict(set)
    )

    def upload(self, context: RoundContext, client: str) -> None:
        """A masked vector came."""
        self.contexts[context.digest] = context
        self.uploaded[context.digest].add(client)

    def answer(self, member: str, request: UnmaskRequest, told: UnmaskAnswer) -> None:
        """A member's answer came: as many shares as its length shows, and of no others."""
        context = self.contexts[told.context]
        survivors = {header.client_id for header in request.headers}
        lost = set(context.cohort) - survivors
        read = survivors - set(told.unopened)
        assert (len(told.own), len(told.pairs), told.masks) == (
            KEY_BYTES * len(read),
            KEY_BYTES * len(read) * len(lost),
            b"",
        )
        for survivor in read:
            for other in ("", *lost):
                self.tellers[told.context, survivor, other].add(member)

    def sums(self) -> dict[Attempt, list[frozenset[str]]]:
        """For each attempt the smallest sets of honest clients whose sum is bare of masks."""
        found: dict[Attempt, list[frozenset[str]]] = defaultdict(list)
        for digest, context in self.contexts.items():
            attempt = (context.kind, context.round_number, context.attempt)
            for group in self._hidden_together(context):
                if all(self._bare_of_own(digest, client) for client in group):
                    found[attempt].append(group)
        return found

    def _bare_of_own(self, digest: bytes, client: str) -> bool:
        return client in self.uploaded[digest] and self._known(digest, client, "")

    def _known(self, digest: bytes, client: str, other: str) -> bool:
        if other in self.corrupt:
            return True
        cohort = self.contexts[digest].cohort
        holders = self.tellers[digest, client, other] | (self.corrupt & set(cohort))
        return len(holders) >= self.parameters[len(cohort)].threshold

    def _hidden_together(self, context: RoundContext) -> Iterator[frozenset[str]]:
        """Honest clients of the cohort that are joined by masks which nobody can take off."""
        honest = [name for name in context.cohort if name not in self.corrupt]
        group = {name: {name} for name in honest}
        for one, other in combinations(honest, 2):
            known = self._known(context.digest, one, other)
            if known or self._known(context.digest, other, one):
                continue
            merged = group[one] | group[other]
            for name in merged:
                group[name] = merged
        yield from {frozenset(names) for names in group.values()}
