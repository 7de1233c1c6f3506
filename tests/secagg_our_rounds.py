"""Whole rounds of tests/vectors by our clients and our server, message by message."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from client.masking import Announced, Masked, Membership, Ready
from server.unmasking import Collecting, Unmasking
from shared.secagg import packing
from shared.secagg.exchange import RoundContext, UnmaskAnswer
from shared.secagg.parameters import parameters_for
from shared.secagg.ring import Integers

Case = Mapping[str, Any]
from_hex = bytes.fromhex


@dataclass(frozen=True)
class OurRound:
    """A round that a file describes, by our clients and our server.

    Attributes:
        case: With `parameters` and `input`.
    """

    case: Case

    @cached_property
    def announced(self) -> dict[str, Announced]:
        """Everybody of the roster, by name."""
        said = self.case["parameters"]
        entries = sorted(self.case["input"]["clients"], key=lambda entry: str(entry["client"]))
        identities = {
            entry["client"]: Ed25519PrivateKey.from_private_bytes(from_hex(entry["identity"]))
            for entry in entries
        }
        public = {name: key.public_key().public_bytes_raw() for name, key in identities.items()}
        return {
            entry["client"]: Announced(
                Membership(
                    client_id=entry["client"],
                    identity=identities[entry["client"]],
                    enrolled=public,
                    corrupt_fraction=said["corrupt_fraction"],
                    dropped_fraction=said["dropped_fraction"],
                    helpers=tuple(said["helpers"]),
                ),
                said["run_id"],
                said["plan"],
                X25519PrivateKey.from_private_bytes(from_hex(entry["key"])),
            )
            for entry in entries
        }

    @cached_property
    def keys(self) -> bytes:
        """As the server relays them."""
        return packing.keys_to_bytes([one.announcement() for one in self.announced.values()])

    @cached_property
    def ready(self) -> dict[str, Ready]:
        """Everybody after the setup."""
        keys = packing.keys_from_bytes(self.keys)
        return {name: one.admit(keys) for name, one in self.announced.items()}

    @cached_property
    def context(self) -> RoundContext:
        """Of the attempt."""
        said, book = self.case["parameters"], next(iter(self.ready.values())).book
        names = ("run_id", "plan", "kind", "round_number", "attempt", "bits")
        return RoundContext(
            **{name: said[name] for name in names},
            roster=book.digest,
            model=from_hex(said["model"]),
            cohort=tuple(said["cohort"]),
        )

    def vector(self, client: str) -> Integers:
        """Of one client."""
        entries = self.case["input"]["clients"]
        found = next(entry["vector"] for entry in entries if entry["client"] == client)
        return np.array(found, dtype=np.int64)

    @cached_property
    def masked(self) -> dict[str, Masked]:
        """The cohort after its uploads, each with the own seed of the file."""
        found = {}
        for entry in self.case["input"]["clients"]:
            name, drawn = entry["client"], from_hex(entry["own_seed"])
            if name in self.context.cohort:
                source = SimpleNamespace(token_bytes=lambda _, drawn=drawn: drawn)
                with patch("client.masking.secrets", source):
                    found[name] = self.ready[name].mask(self.context, self.vector(name))
        return {name: found[name] for name in self.context.cohort}

    @property
    def sealed(self) -> tuple[str, ...]:
        """For whom ciphertexts are sent."""
        graph = next(iter(self.masked.values())).graph
        return () if graph.parameters.helped else graph.sealed

    @cached_property
    def uploads(self) -> dict[str, bytes]:
        """Of the cohort, the dropped ones' too."""
        return {
            name: packing.upload_to_bytes(stage.upload, self.sealed)
            for name, stage in self.masked.items()
        }

    def unmasking(self, changed: Mapping[str, bytes] | None = None) -> Unmasking:
        """The server after the uploads, some of them `changed`."""
        said, roster = self.case["parameters"], self.announced.values()
        identities = next(iter(roster)).membership.enrolled
        fractions = (said["corrupt_fraction"], said["dropped_fraction"])
        helpers = tuple(said["helpers"])
        chosen = parameters_for(len(self.masked), len(identities), *fractions, len(helpers))
        dimension = next(iter(self.masked.values())).dimension
        server = Collecting.of(self.context, dimension, identities, chosen, helpers)
        for name, content in (self.uploads | dict(changed or {})).items():
            if name not in said["dropped"]:
                server.add(packing.upload_from_bytes(content, self.sealed))
        return server.close()

    def requests(self, server: Unmasking) -> dict[str, bytes]:
        """To the members that are left, in the order of the committee."""
        said = self.case["parameters"]
        return {
            name: packing.request_to_bytes(server.request(name))
            for name in server.collected.graph.committee
            if name not in (*said["dropped"], *said["silent"])
        }

    def answers(self, requests: Mapping[str, bytes]) -> dict[str, UnmaskAnswer]:
        """By the members that are asked."""
        return {
            name: self.masked[name].unmask(packing.request_from_bytes(content))[1]
            for name, content in requests.items()
        }

    def total(
        self,
        uploads: Mapping[str, bytes] | None = None,
        answers: Mapping[str, bytes] | None = None,
    ) -> Integers:
        """The sum, with some uploads or answers in place of the honest ones."""
        server = self.unmasking(uploads)
        for name, answer in self.answers(self.requests(server)).items():
            content = (answers or {}).get(name, packing.answer_to_bytes(answer))
            server.add(packing.answer_from_bytes(content))
        return server.finish()


def whole_round(parameters: Case, given: Case) -> Case:
    """Every message of a round, and the sum."""
    one = OurRound({"parameters": parameters, "input": given})
    server = one.unmasking()
    requests = one.requests(server)
    answers = one.answers(requests)
    for answer in answers.values():
        server.add(answer)
    graph, sent = server.collected.graph, [stage.upload for stage in one.masked.values()]
    return {
        "keys": one.keys,
        "roster": one.context.roster,
        "context": one.context.digest,
        "context_message": packing.context_to_bytes(one.context),
        "order": list(graph.order),
        "committee": list(graph.committee),
        "uploads": list(one.uploads.values()),
        "masked": [upload.masked for upload in sent],
        "commitments": [upload.commitments for upload in sent],
        "ciphertexts": [
            b"".join(upload.ciphertexts[member] for member in one.sealed) for upload in sent
        ],
        "requests": list(requests.values()),
        "answers": [packing.answer_to_bytes(answer) for answer in answers.values()],
        "sum": server.finish().tolist(),
    }
