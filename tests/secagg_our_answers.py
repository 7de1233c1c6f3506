"""What our code makes of the cases in tests/vectors, by the second word of a file's name.

The counterpart of tests/vectors/secagg_answers.py, which is the verifier's.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from shared.config import RunConfig
from shared.dp.plan import PrivacyPlan
from shared.dp.randomness import RandomStream
from shared.messages import TrainInstruction
from shared.query_messages import QueryInstruction
from shared.secagg import transcript as texts
from shared.secagg.encoding import update_encoding
from shared.secagg.exchange import (
    RoundContext,
    header_content,
    masked_digest,
    shares_digest,
)
from shared.secagg.graph import round_graph
from shared.secagg.keys import (
    commitment,
    derived_shares,
    helper_seed,
    mask_key,
    pair_seed,
    sealed,
    shared_secret,
)
from shared.secagg.parameters import parameters_for
from shared.secagg.prg import add_masks, stream
from shared.secagg.quantization import Quantizer
from shared.secagg.ring import Integers, pack, to_ring
from shared.secagg.shamir import all_in_field, completed, interpolated
from tests.secagg_our_rounds import whole_round
from tests.vectors.secagg_answers import parts_of, plain

Case = Mapping[str, Any]
from_hex = bytes.fromhex


def transcript(_: Case, given: Case) -> Case:
    """Encodings, digests and derived keys."""
    return {
        "encoded": [texts.canonical(*parts_of(parts)) for parts in given["encodings"]],
        "hashed": [
            texts.digest(one["purpose"], *parts_of(one["parts"])) for one in given["digests"]
        ],
        "derived": [
            texts.derive(from_hex(one["secret"]), one["purpose"], *parts_of(one["parts"]))
            for one in given["keys"]
        ],
    }


def seeds(parameters: Case, given: Case) -> Case:
    """By the side that has the other private key, where two sides can."""
    names = (from_hex(parameters["context"]), given["client"], given["other"])
    one, other = (
        X25519PrivateKey.from_private_bytes(from_hex(given[key]))
        for key in ("client_key", "other_key")
    )
    public = [key.public_key().public_bytes_raw() for key in (one, other)]
    secret = shared_secret(other, public[0])
    pair = pair_seed(secret, names[0], given["other"], given["client"])
    shares = derived_shares(secret, *names, parameters["count"])
    return {
        "public_keys": public,
        "secret": secret,
        "secret_with_itself": shared_secret(one, public[0]),
        "pair_seed": pair,
        "helper_seed": helper_seed(secret, *names),
        "mask_key": mask_key(pair),
        "commitment": commitment(pair),
        "derived_shares": shares,
        "sealed": sealed(secret, *names, shares),
    }


def mask(parameters: Case, given: Case) -> Case:
    """One vector under masks, and the stream of the first of them."""
    bits, keys = parameters["bits"], [from_hex(key) for key in given["added"]]
    words = to_ring(np.array(given["vector"]), bits)
    add_masks(words, keys, [from_hex(key) for key in given["subtracted"]])
    words &= words.dtype.type((1 << bits) - 1)
    return {
        "stream": stream(keys[0], words.nbytes),
        "words": words.tolist(),
        "packed": pack(words, bits),
    }


def packing(parameters: Case, given: Case) -> Case:
    """Numbers of both signs, packed."""
    words = to_ring(np.array(given["vector"]), parameters["bits"])
    return {"words": words.tolist(), "packed": pack(words, parameters["bits"])}


def shamir(parameters: Case, given: Case) -> Case:
    """Seeds in the field, the shares that follow from those given, and the secrets back."""
    secrets, shares = all_in_field(from_hex(given["seeds"])), list(map(from_hex, given["given"]))
    rest = completed(secrets, shares, parameters["holders"])
    places = tuple(parameters["places"])
    held = [[*shares, *rest][place - 1] for place in places]
    return {
        "secrets": secrets,
        "completed": rest,
        "restored": interpolated(places, (0,), held)[0],
    }


def graph(parameters: Case, given: Case) -> Case:
    """Thresholds, circle and committee of a context."""
    cohort, fractions = tuple(given["cohort"]), ("corrupt_fraction", "dropped_fraction")
    chosen = parameters_for(
        len(cohort), parameters["roster_size"], *(parameters[name] for name in fractions)
    )
    found = round_graph(cohort, from_hex(given["context"]), chosen)
    return {
        "committee_size": chosen.committee_size,
        "threshold": chosen.threshold,
        "span": 0 if chosen.complete else chosen.span,
        "survivors": chosen.survivors,
        "order": list(found.order),
        "committee": list(found.committee),
        "neighbours": [list(found.neighbours(client)) for client in given["asked"]],
    }


def header(_: Case, given: Case) -> Case:
    """What an upload signs, in its context."""
    names = ("run_id", "plan", "kind", "round_number", "attempt", "bits")
    context = RoundContext(
        **{name: given[name] for name in names},
        roster=from_hex(given["roster"]),
        model=from_hex(given["model"]),
        cohort=tuple(given["cohort"]),
    ).digest
    sent = {one["receiver"]: from_hex(one["ciphertext"]) for one in given["ciphertexts"]}
    hashes = (
        masked_digest(from_hex(given["masked"])),
        shares_digest(from_hex(given["commitments"]), sent),
    )
    identity = Ed25519PrivateKey.from_private_bytes(from_hex(given["identity"]))
    content = header_content(context, given["client"], *hashes)
    return {
        "context": context,
        "vector_hash": hashes[0],
        "shares_hash": hashes[1],
        "signed": content,
        "public_identity": identity.public_key().public_bytes_raw(),
        "signature": identity.sign(content),
    }


def instruction(_: Case, given: Case) -> Case:
    """What is asked for, and the key of the rotation."""
    arrays = [
        np.array(given[name], dtype=np.float32)
        for name in ("parameters_of_the_model", "normalisation")
    ]
    counted = {
        "round_number": given["round_number"],
        "attempt": given["attempt"],
        "plan": "not hashed, since its digest is",
        "plan_digest": given["plan"],
        "parameters": arrays[0],
        "normalisation": arrays[1],
    }
    train = TrainInstruction(**counted, clipping_norm=given["clipping_norm"])
    query = QueryInstruction(**counted, kind="evaluate")
    plan = PrivacyPlan.from_config(
        RunConfig.from_run_config({"secure_aggregation": "on", "privacy.unit": "record"})
    )
    quantizer = update_encoding(plan, len(arrays[0]), plan.population).quantizer(train.digest())
    return {
        "train": train.digest(),
        "evaluate": query.digest(),
        "rotation": quantizer.rotation,
    }


def quantize(parameters: Case, given: Case) -> Case:
    """A whole vector as whole numbers, and back."""
    return _as_numbers(parameters, given, "quantize")


def rounded(parameters: Case, given: Case) -> Case:
    """A part of a vector."""
    return _as_numbers(parameters, given, "rounded")


def quantizer_of(parameters: Case, given: Case) -> Quantizer:
    """Of a case."""
    return Quantizer(
        clipping_norm=parameters["clipping_norm"],
        scale=parameters["scale"],
        dimension=len(given["vector"]),
        rotation=from_hex(given["rotation"]),
    )


def _as_numbers(parameters: Case, given: Case, way: str) -> Case:
    made, vector = quantizer_of(parameters, given), np.array(given["vector"])
    key = from_hex(given["stream_key"])
    whole: Integers = getattr(made, way)(vector, RandomStream(key))
    return {
        "scaled": made._scaled(vector).tolist(),
        "uniform": RandomStream(key).thresholds(made.padded).tolist(),
        "whole": whole.tolist(),
        "restored": made.restore(whole).tolist(),
    }


ANSWERS = {
    "transcript": transcript, "seeds": seeds, "mask": mask, "packing": packing, "shamir": shamir,
    "graph": graph, "header": header, "instruction": instruction, "quantize": quantize,
    "rounded": rounded, "round": whole_round,
}  # fmt: skip


def answer(name: str, case: Case) -> Any:
    """The output of the case in a file of this name, as it stands in JSON."""
    return plain(ANSWERS[name.split("_")[1]](case["parameters"], case["input"]))
