"""What the verifier makes of the cases in this folder, by the second word of a file's name.

Each function takes the `parameters` and the `input` of a file and returns its `output`. Nothing
here is of the code that the files are for.
"""

import struct
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests import secagg_number_verifier as numbers
from tests import secagg_verifier as by_hand
from tests.secagg_verifier import Attempt, canonical, derive, digest, joined

Case = Mapping[str, Any]
from_hex = bytes.fromhex


def parts_of(written: list[Any]) -> list[Any]:
    """Parts of a transcript, where {"bytes": hexadecimal} are bytes."""
    made = [parts_of(part) if isinstance(part, list) else part for part in written]
    return [from_hex(part["bytes"]) if isinstance(part, dict) else part for part in made]


def transcript(_: Case, given: Case) -> Case:
    """Encodings, digests and derived keys."""
    digests, keys = given["digests"], given["keys"]
    return {
        "encoded": [canonical(*parts_of(parts)) for parts in given["encodings"]],
        "hashed": [digest(one["purpose"], *parts_of(one["parts"])) for one in digests],
        "derived": [
            derive(from_hex(one["secret"]), one["purpose"], *parts_of(one["parts"])) for one in keys
        ],
    }


def seeds(parameters: Case, given: Case) -> Case:
    """What two clients derive alike."""
    names = (from_hex(parameters["context"]), given["client"], given["other"])
    one, other = from_hex(given["client_key"]), from_hex(given["other_key"])
    public = [by_hand.public_key(one), by_hand.public_key(other)]
    secret = by_hand.agreed(one, public[1])
    pair = by_hand.pair_seed(secret, *names)
    shares = by_hand.derived_shares(secret, *names, parameters["count"])
    return {
        "public_keys": public,
        "secret": secret,
        "secret_with_itself": by_hand.agreed(one, public[0]),
        "pair_seed": pair,
        "helper_seed": derive(secret, "helper", *names),
        "mask_key": derive(pair, "mask"),
        "commitment": derive(pair, "commitment"),
        "derived_shares": shares,
        "sealed": by_hand.sealed(secret, *names, shares),
    }


def mask(parameters: Case, given: Case) -> Case:
    """One vector under masks, and the stream of the first of them."""
    bits, vector = parameters["bits"], given["vector"]
    keys = [(1, from_hex(key)) for key in given["added"]]
    stream = by_hand.keystream(keys[0][1], (2 if bits == 16 else 4) * len(vector))
    words = by_hand.masked(
        vector, bits, [*keys, *((-1, from_hex(key)) for key in given["subtracted"])]
    )
    return {"stream": stream, "words": words, "packed": numbers.pack(words, bits)}


def packing(parameters: Case, given: Case) -> Case:
    """Numbers of both signs, packed."""
    bits = parameters["bits"]
    words = [value % 2**bits for value in given["vector"]]
    return {"words": words, "packed": numbers.pack(words, bits)}


def shamir(parameters: Case, given: Case) -> Case:
    """Seeds in the field, the shares that follow from those given, and the secrets back."""
    rows = [numbers.numbers(from_hex(row)) for row in (given["seeds"], *given["given"])]
    columns = [dict(enumerate(column)) for column in zip(*rows, strict=True)]
    held = {
        place: [numbers.value_at(place, points) for points in columns]
        for place in range(1, parameters["holders"] + 1)
    }
    used = {place: held[place] for place in parameters["places"]}
    back = [dict(zip(used, column, strict=True)) for column in zip(*used.values(), strict=True)]
    return {
        "secrets": numbers.written(rows[0]),
        "completed": [numbers.written(held[place]) for place in held if place >= len(rows)],
        "restored": numbers.written(numbers.value_at(0, points) for points in back),
    }


def graph(parameters: Case, given: Case) -> Case:
    """Thresholds, circle and committee of a context."""
    cohort, context = given["cohort"], from_hex(given["context"])
    fractions = (parameters["corrupt_fraction"], parameters["dropped_fraction"])
    size, threshold, span, survivors = numbers.parameters(
        len(cohort), parameters["roster_size"], fractions
    )
    order = by_hand.ranked("circle", context, cohort)
    return {
        "committee_size": size,
        "threshold": threshold,
        "span": span,
        "survivors": survivors,
        "order": order,
        "committee": by_hand.ranked("committee", context, cohort)[:size],
        "neighbours": [by_hand.neighbours(order, span, client) for client in given["asked"]],
    }


def header(_: Case, given: Case) -> Case:
    """What an upload signs, in its context."""
    names = ("run_id", "plan", "roster", "model", "kind", "round_number", "attempt", "cohort")
    said = [from_hex(given[n]) if n in {"roster", "model"} else given[n] for n in names]
    context = digest("round", *said, given["bits"])
    sent = sorted((one["receiver"], from_hex(one["ciphertext"])) for one in given["ciphertexts"])
    vector = digest("masked", from_hex(given["masked"]))
    shares = digest("shares", from_hex(given["commitments"]), sent)
    content = digest("header", context, given["client"], vector, shares)
    identity = Ed25519PrivateKey.from_private_bytes(from_hex(given["identity"]))
    return {
        "context": context,
        "vector_hash": vector,
        "shares_hash": shares,
        "signed": content,
        "public_identity": identity.public_key().public_bytes_raw(),
        "signature": identity.sign(content),
    }


def instruction(_: Case, given: Case) -> Case:
    """What is asked for, and the key of the rotation."""
    counted = (given["round_number"], given["attempt"], given["plan"])
    numbers32 = [
        struct.pack(f"<{len(given[name])}f", *given[name])
        for name in ("parameters_of_the_model", "normalisation")
    ]
    norm = float(given["clipping_norm"]).hex()
    model = digest("instruction", "train", *counted, norm, *numbers32)
    query = digest("instruction", "evaluate", *counted, *numbers32)
    return {"train": model, "evaluate": query, "rotation": digest("rotation", model)}


def quantize(parameters: Case, given: Case) -> Case:
    """A whole vector as whole numbers, and back."""
    return _as_numbers(parameters, given, whole=True)


def rounded(parameters: Case, given: Case) -> Case:
    """A part of a vector."""
    return _as_numbers(parameters, given, whole=False)


def _as_numbers(parameters: Case, given: Case, *, whole: bool) -> Case:
    vector, scale, key = given["vector"], parameters["scale"], from_hex(given["stream_key"])
    rotation, reach = from_hex(given["rotation"]), parameters["clipping_norm"]
    scaled, uniform = numbers.turned(vector, rotation), numbers.uniforms(key)
    found = (
        numbers.quantized(vector, reach, scale, rotation, numbers.uniforms(key))
        if whole
        else numbers.rounded(vector, scale, rotation, numbers.uniforms(key))
    )
    return {
        "scaled": [scale * value for value in scaled],
        "uniform": [next(uniform) for _ in scaled],
        "whole": found,
        "restored": numbers.restored(found, scale, rotation, len(vector)),
    }


def attempt_of(case: Case) -> Attempt:
    """The attempt at a round that a file describes."""
    run = case["parameters"]
    fractions = (run["corrupt_fraction"], run["dropped_fraction"])
    parties = {
        one["client"]: {key: from_hex(one[key]) for key in ("identity", "key", "own_seed")}
        | {"vector": one["vector"]}
        for one in case["input"]["clients"]
    }
    return Attempt({**run, "model": from_hex(run["model"]), "fractions": fractions}, parties)


def whole_round(parameters: Case, given: Case) -> Case:
    """Every message of a round, and the sum."""
    one = attempt_of({"parameters": parameters, "input": given})
    survivors = [name for name in parameters["cohort"] if name not in parameters["dropped"]]
    answering = set(survivors) - set(parameters["silent"])
    members = [name for name in one.committee if name in answering]
    uploads = {name: one.upload(name) for name in parameters["cohort"]}
    answers = [one.answer(member, survivors) for member in members]
    sent = [uploads[name] for name in survivors]
    return {
        "keys": joined(*one.keys()),
        "roster": one.roster,
        "context": one.context,
        "context_message": joined(*one.told()),
        "order": one.order,
        "committee": one.committee,
        "uploads": [joined(*fields) for fields in uploads.values()],
        "masked": [fields[4] for fields in uploads.values()],
        "commitments": [fields[5] for fields in uploads.values()],
        "ciphertexts": [fields[6] for fields in uploads.values()],
        "requests": [joined(*one.request(member, sent)) for member in members],
        "answers": [joined(*fields) for fields in answers],
        "sum": one.total(
            (joined(*fields) for fields in sent), (joined(*fields) for fields in answers)
        ),
    }


ANSWERS = {
    "transcript": transcript, "seeds": seeds, "mask": mask, "packing": packing, "shamir": shamir,
    "graph": graph, "header": header, "instruction": instruction, "quantize": quantize,
    "rounded": rounded, "round": whole_round,
}  # fmt: skip


def answer(name: str, case: Case) -> Any:
    """The output of the case in a file of this name, as it stands in JSON."""
    return plain(ANSWERS[name.split("_")[1]](case["parameters"], case["input"]))


def plain(value: Any) -> Any:
    """Bytes as hexadecimal, wherever they are."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, list) else value
