"""Each file of a bad message is refused by the name that it gives; the honest message is taken."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from client.masking import Announced, Masked
from shared.dp.randomness import RandomStream
from shared.errors import AggregationRefused, FederationError
from shared.secagg.keys import opened, shared_secret
from shared.secagg.packing import context_from_bytes, keys_from_bytes, request_from_bytes
from shared.secagg.refusal import Refusal
from tests.secagg_our_answers import quantizer_of
from tests.secagg_our_rounds import Case, OurRound
from tests.secagg_verifier import joined
from tests.vectors.make_secagg_vectors import FOLDER, stored
from tests.vectors.secagg_answers import attempt_of

BAD = sorted(path.stem for path in FOLDER.glob("secagg_bad_*.json"))
NAMES = ("secagg_round_committee", "secagg_round_helpers")
ROUNDS = {f"{name}.json": OurRound(stored(name)) for name in NAMES}


def deliver(case: Case) -> None:
    """Give one message to its receiver, who has had everything of the round before it."""
    told, one = case["input"], ROUNDS[case["parameters"]["round"]]
    sender, receiver, content = told["sender"], told["receiver"], bytes.fromhex(told["bytes"])
    stages: dict[str, Any] = {"keys": one.ready, "context": one.masked}
    stage = stages[case["parameters"]["after"]].get(receiver)
    ways: dict[str, Callable[[], object]] = {
        "keys": lambda: one.announced[receiver].admit(keys_from_bytes(content)),
        "public_key": lambda: shared_secret(one.announced[receiver].key, content),
        "context": lambda: stage.mask(context_from_bytes(content), one.vector(receiver)),
        "upload": lambda: one.total({sender: content}),
        "request": lambda: one.masked[receiver].unmask(request_from_bytes(content)),
        "ciphertext": lambda: opened(
            stage.secret(sender), one.context.digest, sender, receiver, content
        ),
        "answer": lambda: one.total(answers={sender: content}),
        "vector": lambda: quantized(content),
    }
    ways[told["message"]]()


def quantized(content: bytes) -> None:
    """Both ways, as in secagg_quantize.json."""
    case = stored("secagg_quantize")
    made, vector = quantizer_of(case["parameters"], case["input"]), np.frombuffer(content, "<f8")
    made.quantize(vector, RandomStream(bytes(32)))
    made.rounded(vector, RandomStream(bytes(32)))


def public_key(one: Announced) -> str:
    """Of one client, hexadecimal."""
    return one.announcement().public_key.hex()


def ciphertext(one: Masked, receiver: str) -> str:
    """What one client sealed for another, hexadecimal."""
    return one.upload.ciphertexts[receiver].hex()


def honest(case: Case) -> Case:
    """The same case with the message that the bad one is in place of."""
    told, name = case["input"], case["parameters"]["round"]
    one, output = ROUNDS[name], stored(name.removesuffix(".json"))["output"]
    cohort, said = one.context.cohort, one.case["parameters"]
    members = [name for name in output["committee"] if name not in said["dropped"]]
    receiver = told["receiver"]
    if told["message"] == "request" and receiver not in members:
        receiver = members[0]
    messages: dict[str, Callable[[], str]] = {
        "keys": lambda: output["keys"],
        "public_key": lambda: public_key(one.announced[told["sender"]]),
        "context": lambda: output["context_message"],
        "upload": lambda: output["uploads"][cohort.index(told["sender"])],
        "request": lambda: output["requests"][members.index(receiver)],
        "ciphertext": lambda: ciphertext(one.masked[told["sender"]], receiver),
        "answer": lambda: output["answers"][members.index(told["sender"])],
        "vector": lambda: np.zeros(6).tobytes().hex(),
    }
    content = messages[told["message"]]()
    return {**case, "input": {**told, "receiver": receiver, "bytes": content}}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_message_is_refused_by_name(name: str) -> None:
    """By the very class of the error, and by the check where it names one."""
    case = stored(name)
    with pytest.raises(FederationError) as caught:
        deliver(case)
    reason = caught.value.reason if isinstance(caught.value, AggregationRefused) else ""
    found = {"error": type(caught.value).__name__, "refusal": str(reason)}
    assert found == case["output"]


@pytest.mark.parametrize("name", BAD)
def test_the_honest_message_in_its_place_is_taken(name: str) -> None:
    """So that it is the one thing that is refused, and not the round around it."""
    case = stored(name)
    good = honest(case)
    assert (good["input"]["bytes"], good["input"]["receiver"]) != (
        case["input"]["bytes"],
        case["input"]["receiver"],
    )
    deliver(good)


@pytest.mark.parametrize(
    "wrong",
    ["signature", "masked_vector", "commitment", "false_commitment", "false_share",
     "false_share_of_a_pair"],
)  # fmt: skip
def test_the_second_implementation_makes_no_sum_of_it_either(wrong: str) -> None:
    """Out of the recorded messages; of the honest ones it makes the sum."""
    case, told = stored("secagg_round_committee"), stored(f"secagg_bad_{wrong}")["input"]
    one, content = attempt_of(case), bytes.fromhex(told["bytes"])
    left = [name for name in case["parameters"]["cohort"] if name != "cem"]
    sent = {name: joined(*one.upload(name)) for name in left}
    answers = {name: joined(*one.answer(name, left)) for name in one.committee if name in left}
    assert one.total(sent.values(), answers.values()) == case["output"]["sum"]
    (sent if told["message"] == "upload" else answers)[told["sender"]] = content
    with pytest.raises(ValueError, match=f"'{told['sender']}'"):
        one.total(sent.values(), answers.values())


def test_most_checks_have_a_file() -> None:
    """All but those that need more than one message, or a sparse circle."""
    named = {stored(name)["output"]["refusal"] for name in BAD} - {""}
    assert set(map(str, Refusal)) - named == {"survivors_isolated"}
