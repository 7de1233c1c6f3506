"""Messages that must be refused, each with one thing wrong, and the name of the refusal.

They belong to the rounds of secagg_round_*.json: all else of the round is as it is there. Whatever
its sender can sign is signed, so that it is the one thing that is refused.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from tests.secagg_number_verifier import PRIME, rows
from tests.secagg_verifier import Attempt, joined, listed, public_key, sealed
from tests.vectors.secagg_answers import attempt_of

Case = Mapping[str, Any]
Row = tuple[str, bytes, str, str]  # name, message, error or name of the refusal, what is wrong
SERVER = ""
COMMENTS = {
    "wrong": "what is bad",
    "round": "the file with the round that the message is of",
    "after": "what the receiver has taken before: the keys of the round, or its context too",
    "message": "what it is in place of",
    "sender": "whose message it is in place of; empty: the server's",
    "receiver": "who refuses it; empty: the server",
    "bytes": "the message, hexadecimal",
    "error": "class of the error",
    "refusal": "name of the check; empty: the error has none",
}


def bad_cases(committee: Case, helpers: Case) -> dict[str, Case]:
    """All of them by the names of their files."""
    one, helped = attempt_of(committee), attempt_of(helpers)
    again = Attempt({**one.run, "attempt": 2}, one.parties)
    left = [name for name in one.run["cohort"] if name != "cem"]
    member = one.sealed[0]
    late = again.request("anna", list(map(again.upload, left)))
    old = sealed(again.secret("bela", member), again.context, "bela", member, bytes(192))
    ours, theirs = "secagg_round_committee", "secagg_round_helpers"
    order: list[tuple[str, str, str, str, Sequence[Row]]] = [
        (ours, "keys", SERVER, "anna", keys(one)),
        (ours, "public_key", "bela", "anna", [
            ("small_order_key", bytes(32), "foreign_signature", "a key whose secret all know")]),
        (ours, "context", SERVER, "anna", contexts(one)),
        (ours, "context after context", SERVER, "anna", [
            ("second_model", put(one.told(), 3, bytes(32)), "attempt_reused",
             "another model in an attempt that was masked")]),
        (ours, "upload", "bela", SERVER, uploads(one, again)),
        (ours, "request", SERVER, "anna", requests(one, left, late)),
        (ours, "ciphertext", "bela", member, [
            ("ciphertext_of_another_attempt", old, "ciphertext_of_another_context",
             "sealed in attempt 2")]),
        (ours, "answer", "anna", SERVER, answers(one, left)),
        (ours, "vector", "anna", "anna", vectors()),
        *((theirs, *group) for group in with_helpers(helped)),
    ]  # fmt: skip
    return {
        f"secagg_bad_{row[0]}": _case(place, message, names, row)
        for place, message, *names, found in order
        for row in found
    }


def keys(one: Attempt) -> list[Row]:
    """The server relays something else than what the clients announced."""
    names, public, signed = one.keys()
    clients, foreign = list(one.public), public_key(bytes(range(32)))
    strange = listed(["anna", "bert", *clients[2:]])
    other_run = Attempt({**one.run, "run_id": "another"}, one.parties).keys()
    wide = [public + public[32:64], signed + signed[64:128]]
    rest = joined(listed(clients[1:]), public[32:], signed[64:])
    return [
        ("swapped_key", joined(names, public[:32] + foreign + public[64:], signed),
         "foreign_signature", "the server's key in place of bela's, with bela's signature"),
        ("keys_of_another_run", joined(*other_run), "foreign_signature", "signed for another run"),
        ("key_of_two", joined(names, public[:64] + public[32:64] + public[96:], signed),
         "duplicate_key", "cem has bela's key"),
        ("client_twice", joined(listed([*clients, "bela"]), *wide), "duplicate_key", "bela twice"),
        ("stranger", joined(strange, public, signed), "not_enrolled", "bert is on no roster"),
        ("own_key_missing", rest, "own_key_missing", "the receiver's key is left out"),
        ("two_keys", joined(listed(clients[:2]), public[:64], signed[:128]), "too_few_keys",
         "fewer than three"),
        ("short_key", joined(names, public[:-1], signed), "MessageError", "31 bytes of a key"),
    ]  # fmt: skip


def contexts(one: Attempt) -> list[Row]:
    """The server says something else of the round than it may."""
    said, cohort = one.told(), one.run["cohort"]
    return [
        ("run", put(said, 0, b"another"), "run_changed", "of another run"),
        ("plan", put(said, 1, b"0" * 64), "plan_changed", "another plan"),
        ("roster", put(said, 2, flipped(said[2])), "roster_changed", "one bit of R"),
        ("round_number", put(said, 5, b"[0, 1, 20]"), "round_went_back", "round 0"),
        ("attempt", put(said, 5, b"[3, 0, 20]"), "attempt_reused", "attempt 0"),
        ("ring", put(said, 5, b"[3, 1, 17]"), "ConfigurationError", "a ring of 17 bits"),
        ("truth_value", put(said, 5, b"[3, true, 20]"), "MessageError", "no whole number"),
        ("cohort_order", put(said, 6, listed(cohort[::-1])), "cohort_malformed", "descending"),
        ("cohort_of_two", put(said, 6, listed(cohort[:2])), "cohort_too_small",
         "one of the two may be corrupt"),
        ("cohort_of_others", put(said, 6, listed(cohort[1:])), "not_in_cohort",
         "the receiver is not asked"),
    ]  # fmt: skip


def uploads(one: Attempt, again: Attempt) -> list[Row]:
    """A client sends what it should not; where it can, it signs it."""
    sent = one.upload("bela")
    vector, commitments, shares = sent[4:]
    pieces = rows(shares, len(shares) // len(one.sealed))
    short, crossed = b"".join(piece[:-1] for piece in pieces), b"".join(pieces[::-1])

    def signed(vector: bytes, commitments: bytes, shares: bytes) -> bytes:
        return joined(*one.signed("bela", vector, commitments, shares))

    held = [(m, one.shares("bela", m)) for m in one.sealed]
    outside = [(m, PRIME.to_bytes(32, "big") + found[32:]) for m, found in held]
    false = [(m, flipped(found, 31)) for m, found in held]
    as_sent = [
        b"".join(sealed(one.secret("bela", m), one.context, "bela", m, found) for m, found in told)
        for told in (outside, false)
    ]
    return [
        ("signature", put(sent, 3, flipped(sent[3])), "ProtocolError", "one bit of the signature"),
        ("sender", put(sent, 0, b"felix"), "ProtocolError", "of nobody in the cohort"),
        ("sender_name", put(sent, 0, b"\xff"), "MessageError", "a name that is no text"),
        ("upload_of_another_attempt", joined(*again.upload("bela")), "ProtocolError",
         "of attempt 2"),
        ("cut_upload", joined(*sent)[:-1], "MessageError", "the last byte is missing"),
        ("long_upload", joined(*sent, b""), "MessageError", "a field too many"),
        ("short_upload", signed(vector[:-1], commitments, shares), "MessageError",
         "a byte of the vector is missing"),
        ("number_beyond_the_last", signed(vector[:-1] + b"\xf0", commitments, shares),
         "MessageError", "bits after the fifth number"),
        ("masked_vector", put(sent, 4, flipped(vector)), "ProtocolError", "not what was signed"),
        ("commitment", put(sent, 5, flipped(commitments)), "ProtocolError", "not what was signed"),
        ("missing_commitment", signed(vector, commitments[:-32], shares), "ProtocolError",
         "to one seed too few"),
        ("false_commitment", signed(vector, flipped(commitments), shares), "SpoiledSum",
         "signed, and not to the seed that is shared"),
        ("short_ciphertexts", signed(vector, commitments, short), "ProtocolError",
         "each a byte too short"),
        ("uneven_ciphertexts", put(sent, 6, shares[:-1]), "MessageError", "not of one length"),
        ("crossed_ciphertexts", signed(vector, commitments, crossed), "SpoiledSum",
         "each member has the other's, and cannot open it"),
        ("sealed_share_outside_field", signed(vector, commitments, as_sent[0]), "SpoiledSum",
         "members open the prime itself, and count it as not opened"),
        ("false_sealed_share", signed(vector, commitments, as_sent[1]), "SpoiledSum",
         "on another polynomial"),
    ]  # fmt: skip


def requests(one: Attempt, left: list[str], late: list[bytes]) -> list[Row]:
    """The server asks for more than a sum."""
    sent = [one.upload(name) for name in left]
    asked = one.request("anna", sent)
    everybody = one.request("anna", [*sent[:2], one.upload("cem"), *sent[2:]])
    forged = everybody[4][:128] + flipped(everybody[4][128:])
    return [
        ("context_digest", put(asked, 0, flipped(asked[0])), "context_changed", "one bit of X"),
        ("survivor_twice", joined(*one.request("anna", [*sent, sent[0]])), "survivor_twice",
         "anna twice"),
        ("survivor_outside_cohort", put(asked, 1, listed([*left[:3], "felix"])),
         "survivor_not_in_cohort", "felix was not asked"),
        ("three_survivors", joined(*one.request("anna", sent[:3])), "too_few_survivors",
         "fewer than four"),
        ("dropped_survivor", put(everybody, 4, forged), "foreign_signature",
         "cem, whose signature the server does not have"),
        ("header", put(asked, 2, flipped(asked[2])), "foreign_signature",
         "a hash of another vector"),
        ("header_of_another_attempt", joined(asked[0], *late[1:5], asked[5]), "foreign_signature",
         "signed in attempt 2"),
        ("short_signatures", put(asked, 4, asked[4][:-1]), "MessageError", "a byte is missing"),
    ]  # fmt: skip


def answers(one: Attempt, left: list[str]) -> list[Row]:
    """A member tells what it should not."""
    told = one.answer("anna", left)
    outside = PRIME.to_bytes(32, "big") + told[3][32:]
    return [
        ("share_outside_field", put(told, 3, outside), "ProtocolError", "the prime itself"),
        ("short_answer", put(told, 3, told[3][:-32]), "ProtocolError", "of one survivor too few"),
        ("answer_of_another_context", put(told, 0, flipped(told[0])), "ProtocolError", "not X"),
        ("answer_of_no_member", put(told, 1, b"felix"), "ProtocolError", "not of the committee"),
        ("unopened_stranger", put(told, 2, listed(["felix"])), "ProtocolError", "no survivor"),
        ("false_share", put(told, 3, flipped(told[3], 31)), "SpoiledSum", "of anna's own seed"),
        ("false_share_of_a_pair", put(told, 4, flipped(told[4], 31)), "SpoiledSum",
         "of anna's seed with cem"),
        ("masks_of_a_member", put(told, 5, b"\0" * 13), "ProtocolError", "it is no helper"),
    ]  # fmt: skip


def vectors() -> list[Row]:
    """Doubles, little end first, of which secagg_quantize.json can make no whole numbers."""
    long, none = [0.8, 0.6, 1e-4, 0.0, 0.0, 0.0], [0.1, float("nan"), 0.0, 0.0, 0.0, 0.0]
    return [
        ("vector_above_the_clip", struct.pack("<6d", *long), "ProtocolError", "of norm above 1"),
        ("vector_of_no_numbers", struct.pack("<6d", *none), "ProtocolError", "one is no number"),
    ]  # fmt: skip


def with_helpers(one: Attempt) -> list[tuple[str, str, str, list[Row]]]:
    """What helpers, or clients that have them, must not be sent."""
    left = [name for name in one.run["cohort"] if name != "bela"]
    said, told, sent = one.told(), one.answer("anna", left), one.upload("cem")
    without = put(said, 6, listed(name for name in one.run["cohort"] if name != "cem"))
    asked = joined(*one.request("anna", list(map(one.upload, left))))
    committed = joined(*one.signed("cem", sent[4], bytes(32), b""))
    return [
        ("context", SERVER, "anna", [
            ("missing_helper", without, "helper_missing", "cem is not asked")]),
        ("request", SERVER, "dóra", [
            ("request_to_no_helper", asked, "not_in_committee", "the plan has other helpers")]),
        ("upload", "cem", SERVER, [
            ("commitment_beside_helpers", committed, "ProtocolError", "nothing is shared"),
            ("shares_beside_helpers", put(sent, 6, bytes(48)), "MessageError", "likewise")]),
        ("answer", "anna", SERVER, [
            ("short_masks", put(told, 5, told[5][:-1]), "ProtocolError", "a byte is missing"),
            ("shares_of_a_helper", put(told, 3, bytes(32)), "ProtocolError", "it has none")]),
    ]  # fmt: skip


def put(fields: Sequence[bytes], at: int, content: bytes) -> bytes:
    """The message with one field replaced."""
    return joined(*fields[:at], content, *fields[at + 1 :])


def flipped(content: bytes, at: int = 0) -> bytes:
    """One bit of it."""
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def _case(place: str, message: str, names: Sequence[str], row: Row) -> Case:
    message, _, after = message.partition(" after ")
    _, content, error, wrong = row
    named = {"error": error, "refusal": ""}
    if error.islower():
        named = {"error": "AggregationRefused", "refusal": error}
    return {
        "origin": "tests/vectors/bad_secagg_messages.py: a message with one thing wrong",
        "comments": COMMENTS,
        "parameters": {"wrong": wrong, "round": f"{place}.json", "after": after or "keys"},
        "input": {
            "message": message,
            "sender": names[0],
            "receiver": names[1],
            "bytes": content.hex(),
        },
        "output": named,
    }
