"""Our code and a second implementation make the same bytes; what is bad is refused by name."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from shared.errors import ConfigurationError
from shared.secagg import exchange, graph, keys, prg, ring, shamir, transcript
from shared.secagg.exchange import RoundContext
from shared.secagg.parameters import parameters_for
from shared.secagg.quantization import Quantizer
from shared.secagg.ring import BITS, Words
from tests.secagg_our_answers import answer
from tests.secagg_our_rounds import Case
from tests.test_architecture import ROOT, imported_modules, top_level
from tests.vectors import secagg_answers
from tests.vectors.make_secagg_vectors import FOLDER, cases, good_names, stored, text_of

DOUBLES = {"scaled", "restored"}  # of a quantizer
GOOD, ALL = good_names(), sorted(path.stem for path in FOLDER.glob("secagg_*.json"))
VERIFIER = [ROOT / "tests" / f"secagg_{name}.py" for name in ("verifier", "number_verifier")]
FRACTIONS = [(0.15, 0.3), (0.12, 0.25), (0.2, 0.2), (0.0, 0.0)]


def hashed(*parts: object) -> str:
    """Hexadecimal that stands for random bytes."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def round_of(
    names: Sequence[str], dimension: int, number: int, **changed: Any
) -> dict[str, dict[str, Any]]:
    """A case of a round: all of `names` are asked, none is lost, for as long as nothing changed."""
    parameters: dict[str, Any] = {
        "run_id": f"run {number}",
        "plan": hashed("plan", number),
        "model": hashed("model", number),
        "kind": "train",
        "round_number": 1 + number % 7,
        "attempt": 1 + number % 3,
        "bits": 20,
        "corrupt_fraction": 0.0,
        "dropped_fraction": 0.0,
        "helpers": [],
        "cohort": sorted(names),
        "dropped": [],
        "silent": [],
    }
    parameters |= changed
    half = 2 ** (parameters["bits"] - 1)
    drawn = np.random.default_rng(number).integers(-half, half, (len(names), dimension))
    clients = [
        {"client": name, "vector": vector}
        | {key: hashed(key, name, number) for key in ("identity", "key", "own_seed")}
        for name, vector in zip(names, drawn.tolist(), strict=True)
    ]
    return {"parameters": parameters, "input": {"clients": clients}}


@st.composite
def rounds(draw: st.DrawFn) -> Case:
    """Few clients with any names, in any ring, with as many lost as may be."""
    text, count = st.text(min_size=1, max_size=3), draw(st.sampled_from([7, 9, 5, 4, 3]))
    names = draw(st.lists(text, min_size=count, max_size=count, unique=True))
    cohort = sorted(names[draw(st.integers(0, 1)) :])
    fractions, helped = draw(st.sampled_from(FRACTIONS)), draw(st.booleans())
    try:
        chosen = parameters_for(len(cohort), len(names), *fractions, 3 if helped else 0)
    except ConfigurationError:
        reject()
    helpers = sorted(draw(st.permutations(cohort))[:3]) if helped else []
    others = draw(st.permutations([name for name in cohort if name not in helpers]))
    dropped = others[draw(st.integers(0, chosen.dropped)) : chosen.dropped]
    others = [name for name in others if name not in dropped]
    members = len(cohort) - len(dropped)
    spare = 0 if helped else draw(st.integers(0, max(0, members - chosen.threshold)))
    return round_of(
        names,
        draw(st.integers(1, 9)),
        draw(st.integers(0, 2**32)),
        bits=draw(st.sampled_from(BITS)),
        corrupt_fraction=fractions[0],
        dropped_fraction=fractions[1],
        helpers=helpers,
        cohort=cohort,
        dropped=dropped,
        silent=others[:spare],
    )


def confirmed(case: Case) -> list[str]:
    """What of a round the verifier makes otherwise; the sum is the survivors' besides."""
    ours, theirs = answer("a_round", case), secagg_answers.answer("a_round", case)
    said, half = case["parameters"], 2 ** (case["parameters"]["bits"] - 1)
    left = set(said["cohort"]) - set(said["dropped"])
    plain = np.sum([c["vector"] for c in case["input"]["clients"] if c["client"] in left], axis=0)
    assert ours["sum"] == ((plain + half) % (2 * half) - half).tolist()
    return [key for key in theirs if ours[key] != theirs[key]]


def all_keys(value: object) -> set[str]:
    """Of all objects in a part of a case."""
    if isinstance(value, Mapping):
        return set(value).union(*map(all_keys, value.values()))
    return set[str]().union(*map(all_keys, value)) if isinstance(value, list) else set()


def test_the_second_implementation_knows_nothing_of_ours() -> None:
    """It imports Python's own modules and bare primitives; neither numpy nor any of our packages.

    The makers of the files import these and one another.
    """
    own = {"hashlib", "hmac", "json", "math", "collections", "fractions", "functools", "typing"}
    for path in VERIFIER:
        found = imported_modules(path.read_text())
        assert top_level(found) <= own | {"cryptography", "tests"}
        ours = {module for module in found if module.startswith("tests.")}
        assert all(module.startswith("tests.secagg_number_verifier") for module in ours), path
    for path in FOLDER.glob("*.py"):
        found = imported_modules(path.read_text())
        assert not top_level(found) & {"shared", "client", "server", "numpy", "simulations"}
        known = ("tests.secagg_verifier", "tests.secagg_number_verifier", "tests.vectors.")
        assert all(m.startswith(known) for m in found if m.startswith("tests.")), path


@pytest.mark.parametrize("name", ALL)
def test_each_field_of_a_file_is_explained(name: str) -> None:
    """In its `comments`, which explain nothing else."""
    case = stored(name)
    assert list(case) == ["origin", "comments", "parameters", "input", "output"]
    assert all_keys([case["parameters"], case["input"], case["output"]]) == set(case["comments"])
    assert all(case["comments"].values())


def test_the_files_are_what_the_verifier_makes() -> None:
    """Byte for byte; no more of them and no fewer."""
    made = cases()
    assert sorted(made) == ALL
    for name, case in made.items():
        assert (FOLDER / f"{name}.json").read_text() == text_of(case), name


def same(found: Case, made: Case) -> bool:
    """Whether both hold the same, doubles within 1e-12 of the largest."""
    if found.keys() != made.keys():
        return False
    close = {
        key: np.allclose(found[key], made[key], 0.0, 1e-12 * (1.0 + np.abs(made[key]).max()))
        for key in (DOUBLES if made.keys() >= DOUBLES else ())
    }
    return all(close.get(key, found[key] == made[key]) for key in made)


@pytest.mark.parametrize("name", GOOD)
def test_our_code_makes_the_same(name: str) -> None:
    """Everything of every file: streams, shares, whole messages; doubles but for their last bits.

    Those depend on the order of additions, which a machine's library of matrices chooses.
    """
    case = stored(name)
    found = answer(name, case)
    assert list(found) == list(case["output"])
    assert same(found, case["output"])


def test_what_a_file_is_for_is_in_it() -> None:
    """A sum that wraps, a seed above the prime, a rounding that is thrown away, a sparse circle."""
    case = stored("secagg_round_committee")
    left = [one["vector"] for one in case["input"]["clients"] if one["client"] != "cem"]
    assert np.sum(left, axis=0).tolist() != case["output"]["sum"]
    assert any(one["own_seed"] == "ff" * 32 for one in case["input"]["clients"])
    again = stored("secagg_quantize_again")["output"]
    scaled, uniform = np.array(again["scaled"]), np.array(again["uniform"])
    first = np.floor(scaled) + (uniform < scaled - np.floor(scaled))
    assert first.tolist() != again["whole"]
    assert stored("secagg_graph_41")["output"]["span"] > 0


@pytest.mark.no_cover
@settings(max_examples=50, deadline=None)
@given(rounds())
def test_any_round_is_confirmed_byte_for_byte(case: Case) -> None:
    """By a committee or helpers, in each ring, whoever is lost or silent, whatever the names."""
    assert confirmed(case) == []


def test_a_round_on_a_sparse_circle_is_confirmed() -> None:
    """Each of 41 clients masks with ten, and ten hold shares."""
    names = [f"client-{number:02d}" for number in range(41)]
    lost = {"dropped": names[3:5], "corrupt_fraction": 0.05, "dropped_fraction": 0.05}
    assert confirmed(round_of(names, 3, 1, **lost)) == []


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=40),
    st.floats(1e-3, 1e6),
    st.booleans(),
    st.sampled_from(["quantize", "rounded"]),
)
def test_any_vector_becomes_the_same_numbers(
    vector: list[float], scale: float, turned: bool, way: str
) -> None:
    """And the same vector again, but for last bits."""
    reach = max(float(np.linalg.norm(vector)), 1e-3)
    case = {
        "parameters": {"clipping_norm": reach, "scale": scale},
        "input": {
            "vector": vector,
            "rotation": hashed("rotation") if turned else "",
            "stream_key": hashed(vector),
        },
    }
    assert same(answer(f"a_{way}", case), secagg_answers.answer(f"a_{way}", case))


def next_place(x: int) -> int:
    """Another place for a share; that of the secret stays."""
    return x + 1 if x else 0


def signs_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each client subtracts what it should add; the server undoes it likewise."""

    def swapped(words: Words, added: Sequence[bytes], subtracted: Sequence[bytes] = ()) -> None:
        prg.add_masks(words, subtracted, added)

    monkeypatch.setattr("client.seeds.add_masks", swapped)
    monkeypatch.setattr("server.unmasking.add_masks", swapped)


def another_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are derived for a purpose that is spelt otherwise."""

    def derived(secret: bytes, purpose: str, *parts: transcript.Part) -> bytes:
        return transcript.derive(secret, f"{purpose}s", *parts)

    monkeypatch.setattr(keys, "derive", derived)


def places_shifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares are the polynomial's values at 2, 3, .. for all who make or use them."""
    true = shamir._weights

    def shifted(places: tuple[int, ...], at: tuple[int, ...]) -> Any:
        return true(tuple(map(next_place, places)), tuple(map(next_place, at)))

    monkeypatch.setattr(shamir, "_weights", shifted)


def counter_from_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stream begins a block later."""

    def later(seed: bytes) -> CipherContext:
        counter = (1).to_bytes(16, "big")
        return Cipher(algorithms.AES(seed), modes.CTR(counter)).encryptor()

    monkeypatch.setattr(prg, "_keystream", later)


def packed_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Big end first, on both sides."""
    monkeypatch.setattr("client.masking.pack", lambda words, bits: ring.pack(words, bits)[::-1])
    monkeypatch.setattr(
        "server.unmasking.unpack",
        lambda content, dimension, bits: ring.unpack(content[::-1], dimension, bits),
    )


def attempt_not_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two attempts have one context."""

    def bound(self: RoundContext) -> bytes:
        said = (self.run_id, self.plan, self.roster, self.model, self.kind, self.round_number)
        return transcript.digest("round", *said, self.cohort, self.bits)

    monkeypatch.setattr(RoundContext, "digest", property(bound))


def context_not_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header of one round is good in every other."""

    def content(_: bytes, *parts: transcript.Part) -> bytes:
        return transcript.digest("header", *parts)

    monkeypatch.setattr(exchange, "header_content", content)
    monkeypatch.setattr("client.masking.header_content", content)


def receiver_not_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is sealed has no associated data."""
    monkeypatch.setattr(keys, "canonical", lambda *_: b"")


def circle_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody's place is known before the round."""
    monkeypatch.setattr(graph, "digest", lambda _, __, client: client.encode())


def commitments_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for every seed, as made and as checked."""
    monkeypatch.setattr("client.seeds.commitment", lambda _: bytes(32))
    monkeypatch.setattr("server.seeds.commitment", lambda _: bytes(32))


PLANTED = [
    signs_swapped, another_purpose, places_shifted, counter_from_one, packed_backwards,
    attempt_not_bound, context_not_signed, receiver_not_bound, circle_by_name,
    commitments_to_nothing,
]  # fmt: skip


@pytest.fixture
def graphs_anew() -> Iterator[None]:
    """Neither finds the graph of an honest round, nor leaves another behind."""
    graph.round_graph.cache_clear()
    yield
    graph.round_graph.cache_clear()


@pytest.mark.usefixtures("graphs_anew")
@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_bug_that_all_our_parties_share_is_seen(
    monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    """Planted on every side: our sum is still right, and the second implementation disagrees."""
    case = stored("secagg_round_committee")
    plant(monkeypatch)
    assert confirmed(case) != []
    assert answer("a_round", case)["sum"] == case["output"]["sum"]


def test_helpers_seeds_under_other_names_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted on both sides: client and helper are named the other way round."""
    monkeypatch.setattr(
        "client.seeds.helper_seed",
        lambda secret, context, client, helper: keys.helper_seed(secret, context, helper, client),
    )
    assert set(confirmed(stored("secagg_round_helpers"))) == {
        "uploads",
        "masked",
        "requests",
        "answers",
    }


def test_a_rounding_without_its_bound_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the first rounding is taken whatever its norm."""
    case = stored("secagg_quantize_again")
    monkeypatch.setattr(Quantizer, "sensitivity", np.inf)
    assert answer("a_quantize", case)["whole"] != case["output"]["whole"]
