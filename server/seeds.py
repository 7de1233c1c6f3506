"""Seeds put together from the committee's shares, each checked against its client's commitment.

A member may tell false shares, and a client may have sealed false ones. Either is found out: a seed
that does not fit its commitment is tried with other members' shares. Where some fit, those whose
shares do not lie on the polynomial are named; where none do, the client is, if so many members
answered that the corrupt ones cannot have done it.
"""

import logging
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations

from shared.errors import SpoiledSum
from shared.secagg.exchange import UnmaskAnswer
from shared.secagg.graph import RoundGraph
from shared.secagg.keys import commitment
from shared.secagg.shamir import interpolated
from shared.secagg.transcript import KEY_BYTES, digest

_TRIES = 100  # other choices of members, once the first is found to hold a false share
_LOGGER = logging.getLogger("murmura.server")
Pairs = dict[tuple[str, str], bytes]


@dataclass(frozen=True, slots=True)
class _Told:
    """One member's answer, and where in it each survivor's shares begin."""

    answer: UnmaskAnswer
    own: Mapping[str, int]
    pairs: Mapping[str, int]


@dataclass(slots=True)
class Rebuilding:
    """One attempt's seeds.

    Attributes:
        graph: Of the attempt.
        undone: Each survivor's dropped neighbours.
        commitments: By survivor.
        answers: By member; each as long as it must be.
    """

    graph: RoundGraph
    undone: Mapping[str, list[str]] = field(repr=False)
    commitments: Mapping[str, bytes] = field(repr=False)
    answers: Mapping[str, UnmaskAnswer] = field(repr=False)

    def seeds(self) -> tuple[list[bytes], Pairs]:
        """Each survivor's own seed, and that of each survivor with each dropped neighbour.

        Raises:
            SpoiledSum: these clients' seeds cannot be put together from what was told.
        """
        told = dict(sorted((self._place(name), self._told(name)) for name in self.answers))
        found = self._from_all_alike(told)
        spoiled = [survivor for survivor in self.undone if survivor not in found]
        for survivor in list(spoiled):
            seeds = self._repaired(survivor, told)
            if seeds:
                found[survivor] = seeds
                spoiled.remove(survivor)
        if spoiled:
            members_tell_truth = 2 * len(found) > len(self.undone)
            guilty = [name for name in spoiled if members_tell_truth and self._sealed_false(name)]
            raise SpoiledSum(len(spoiled), guilty)
        own = [found[survivor][0] for survivor in self.undone]
        return own, {
            (survivor, other): seed
            for survivor, lost in self.undone.items()
            for other, seed in zip(lost, found[survivor][1:], strict=True)
        }

    def _from_all_alike(self, told: Mapping[int, _Told]) -> dict[str, list[bytes]]:
        """The seeds that fit, from the shares of members who could read everybody's."""
        whole = {x: one.answer for x, one in told.items() if not one.answer.unopened}
        used = tuple(whole)[: self.graph.parameters.threshold]
        if len(used) < self.graph.parameters.threshold:
            return {}
        own = _rows(interpolated(used, (0,), [whole[x].own for x in used])[0])
        pairs = iter(_rows(interpolated(used, (0,), [whole[x].pairs for x in used])[0]))
        found = {}
        for survivor, seed in zip(self.undone, own, strict=True):
            seeds = [seed, *(next(pairs) for _ in self.undone[survivor])]
            if self._fit(survivor, seeds):
                found[survivor] = seeds
        return found

    def _repaired(self, survivor: str, told: Mapping[int, _Told]) -> list[bytes]:
        """The survivor's seeds from other members' shares; empty: none fit."""
        held = {
            x: self._shares(survivor, one)
            for x, one in told.items()
            if survivor not in one.answer.unopened
        }
        for used in self._choices(survivor, list(held)):
            seeds = _rows(interpolated(used, (0,), [held[x] for x in used])[0])
            if self._fit(survivor, seeds):
                self._name_false(survivor, used, held)
                return seeds
        return []

    def _choices(self, survivor: str, places: Collection[int]) -> Iterator[tuple[int, ...]]:
        needed = self.graph.parameters.threshold
        if len(places) < needed:
            return
        yield tuple(places)[:needed]
        if math.comb(len(places), needed) <= _TRIES:
            yield from combinations(places, needed)
            return
        # Nothing secret is drawn: the same choices wherever the same members answered.
        for number in range(_TRIES):
            ranked = sorted(places, key=partial(digest, "choice", survivor, number))
            yield tuple(sorted(ranked[:needed]))

    def _sealed_false(self, survivor: str) -> bool:
        """Whether more members say so than can be corrupt."""
        parameters = self.graph.parameters
        corrupt = max(1, 2 * parameters.threshold - parameters.committee_size - 1)
        unopened = sum(survivor in answer.unopened for answer in self.answers.values())
        read = len(self.answers) - unopened
        return unopened > corrupt or read >= parameters.threshold + corrupt

    def _fit(self, survivor: str, seeds: Sequence[bytes]) -> bool:
        made = self.commitments[survivor]
        numbers = [0, *(1 + self.graph.number(survivor, other) for other in self.undone[survivor])]
        return all(
            commitment(seed) == made[number * KEY_BYTES : (number + 1) * KEY_BYTES]
            for number, seed in zip(numbers, seeds, strict=True)
        )

    def _name_false(self, survivor: str, used: tuple[int, ...], held: Mapping[int, bytes]) -> None:
        others = tuple(x for x in held if x not in used)
        rebuilt = interpolated(used, others, [held[x] for x in used]) if others else []
        for x, right in zip(others, rebuilt, strict=True):
            if held[x] != right:
                _LOGGER.warning(
                    "a share of %s that %s told is not that of the others: one of them is false",
                    survivor,
                    self.graph.committee[x - 1],
                )

    def _place(self, member: str) -> int:
        return self.graph.committee.index(member) + 1

    def _told(self, member: str) -> _Told:
        answer, own, pairs = self.answers[member], dict[str, int](), dict[str, int]()
        place = 0
        for survivor, lost in self.undone.items():
            if survivor not in answer.unopened:
                own[survivor], pairs[survivor] = len(own) * KEY_BYTES, place
                place += len(lost) * KEY_BYTES
        return _Told(answer, own, pairs)

    def _shares(self, survivor: str, told: _Told) -> bytes:
        own, start = told.own[survivor], told.pairs[survivor]
        end = start + len(self.undone[survivor]) * KEY_BYTES
        return told.answer.own[own : own + KEY_BYTES] + told.answer.pairs[start:end]


def _rows(content: bytes) -> list[bytes]:
    return [content[start : start + KEY_BYTES] for start in range(0, len(content), KEY_BYTES)]
