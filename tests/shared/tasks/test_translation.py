"""Translation: tokens, what is left out or held out, that it learns, and what it says."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from shared.errors import ConfigurationError, DataError
from shared.model_check import check_model
from shared.parameters import dimension
from shared.partition import PartitionSpec
from shared.task import Site, TaskSettings
from shared.tasks.token_scores import unigram_baseline
from shared.tasks.transformer import PAD
from shared.tasks.translation import (
    CHARACTERS,
    END,
    LANGUAGES,
    LONGEST_SOURCE,
    LONGEST_TARGET,
    UNKNOWN,
    VOCABULARY,
    Translation,
    decode,
    encode,
    translated,
)
from tests.shared.tasks.compiled import write_catalogue
from tests.shared.tasks.sequence_learning import (
    assert_a_run_of_one_is_plain_training,
    learnt,
    scores,
)

WHOLE = Site(index=0, partition=None)
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
THINGS = ("file", "user", "page", "name", "date", "group", "table", "field", "word", "key")
GERMAN = dict(
    zip(
        NUMBERS,
        ["eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn"],
        strict=True,
    )
)
GERMAN |= dict(
    zip(
        THINGS,
        [
            "Datei",
            "Nutzer",
            "Seite",
            "Name",
            "Datum",
            "Gruppe",
            "Tafel",
            "Feld",
            "Wort",
            "Schlüssel",
        ],
        strict=True,
    )
)


def write(folder: Path, languages: tuple[str, ...] = ("de",)) -> None:
    """A hundred messages of two words, translated word by word."""
    for language in languages:
        messages = {
            f"{number} {thing}": f"{GERMAN[number]} {GERMAN[thing]}"
            for number in NUMBERS
            for thing in THINGS
        }
        write_catalogue(folder, language, messages)


def task(folder: Path, *, model: str = "tiny", names: str = "", column: str = "") -> Translation:
    """The task over that folder."""
    return Translation(
        TaskSettings(model=model, data_dir=folder, data_name=names, data_column=column)
    )


def test_a_text_comes_back_and_accents_are_characters() -> None:
    """What the vocabulary lacks is one token."""
    assert decode(encode("Schlüssel, “ø”…")) == "Schlüssel, “ø”…"
    assert len(encode("ü")) == 3
    assert encode("日") == [UNKNOWN, END]
    assert decode([UNKNOWN, 3 + CHARACTERS.index("a")]) == "\N{REPLACEMENT CHARACTER}a"


def test_the_vocabulary_is_public_and_has_nothing_twice() -> None:
    """Three marks, the characters, the languages."""
    assert len(set(CHARACTERS)) == len(CHARACTERS)
    assert len(set(LANGUAGES)) == len(LANGUAGES)
    assert 3 + len(CHARACTERS) + len(LANGUAGES) == VOCABULARY


def test_an_example_is_a_message_and_its_translation_shifted_by_one(tmp_path: Path) -> None:
    """The translation begins with its language; padding follows the end."""
    write_catalogue(tmp_path, "de", {"Yes": "Ja"})
    examples = task(tmp_path).site_data(WHOLE)
    source, begun = (tensor[0].tolist() for tensor in examples.inputs)
    target = examples.targets[0].tolist()
    assert source[:4] == encode("Yes")
    assert target[:3] == encode("Ja")
    assert begun[:3] == [3 + len(CHARACTERS) + LANGUAGES.index("de"), *target[:2]]
    assert set(source[4:]) == set(target[3:]) == set(begun[3:]) == {PAD}


def test_long_messages_and_long_translations_are_left_out(tmp_path: Path) -> None:
    """By their tokens, an accent counted as one."""
    messages = {"a" * LONGEST_SOURCE: "x", "b" * (LONGEST_SOURCE + 1): "x", "c": "d" * 30}
    write_catalogue(tmp_path, "de", messages | {"d": "e" * (LONGEST_TARGET + 1), "f": "ü" * 16})
    built = task(tmp_path)
    sources = [*built.pool().training.inputs[0], *built.pool().public.inputs[0]]
    found = sorted(decode(source.tolist()) for source in sources)
    assert found == ["a" * LONGEST_SOURCE, "c"]


def test_languages_catalogues_and_parts_may_be_sites(tmp_path: Path) -> None:
    """A tenth of the messages, the same in each language, is nobody's."""
    write(tmp_path, ("de", "nl"))
    built = task(tmp_path)
    count = len(built.evaluation_data())
    assert 0 < count < 40
    assert len(built.site_data(WHOLE)) == 200 - count
    for column, values in (("language", 2), ("catalogue", 2), ("part", 22)):
        named = task(tmp_path, column=column).column()
        assert named is not None
        assert len(set(named.tolist())) == values, column
    spec = PartitionSpec(scheme="natural", clients=2)
    first = task(tmp_path, column="language").site_data(Site(index=0, partition=spec))
    assert len(first) == (200 - count) // 2
    assert first.inputs[1][:, 0].unique().tolist() == [3 + len(CHARACTERS) + LANGUAGES.index("de")]
    assert len(task(tmp_path, names="nl").site_data(WHOLE)) == (200 - count) // 2


def test_wrong_languages_and_empty_folders_are_refused(tmp_path: Path) -> None:
    """With what was expected."""
    with pytest.raises(ConfigurationError, match=r"data\.name must be languages of .*'klingon'"):
        task(tmp_path, names="de,klingon").pool()
    with pytest.raises(DataError, match=r"must hold catalogues .* of de with short"):
        task(tmp_path, names="de").pool()


def test_djangos_own_catalogues_are_found() -> None:
    """Some hundred short messages of one language, hardly a character unknown."""
    built = Translation(TaskSettings(model="tiny", data_name="de"))
    training = built.site_data(WHOLE)
    assert len(training) > 300
    assert len(built.evaluation_data()) > 20
    assert float((training.targets == UNKNOWN).float().mean()) < 0.01


@pytest.mark.parametrize(("model", "count"), [("tiny", 16_910), ("small", 47_966)])
def test_models_have_the_stated_size_and_may_be_trained_at_each_unit(
    tmp_path: Path, model: str, count: int
) -> None:
    """Exactly; checked as the server checks them."""
    write(tmp_path)
    built = task(tmp_path, model=model)
    assert dimension(built.build_model()) == count
    for per_record in (True, False):
        check_model(
            built.build_model(), built.evaluation_data(), built.losses, per_record=per_record
        )


def test_a_federated_run_of_one_client_is_plain_training(tmp_path: Path) -> None:
    """At q = 1, without privacy."""
    write(tmp_path / "data")
    assert_a_run_of_one_is_plain_training(
        "translation",
        tmp_path / "data",
        tmp_path / "runs",
        {"model": "tiny", "training.learning_rate": 0.3},
    )


@pytest.mark.slow
def test_it_learns_messages_it_never_saw(tmp_path: Path) -> None:
    """Two of three characters, where frequencies alone give one of seven; and it says words."""
    write(tmp_path)
    built = task(tmp_path)
    model = learnt(built, built.site_data(WHOLE), steps=120, rate=0.02)
    found = scores(built, model, built.evaluation_data())
    training, public = built.site_data(WHOLE).targets, built.evaluation_data().targets
    baseline = unigram_baseline(training, public, VOCABULARY)
    assert found["accuracy"] > baseline["accuracy"] + 0.4
    assert found["bits_per_token"] < baseline["bits_per_token"] - 2.0
    said = translated(model, "one file", "de")
    assert said.split()[0] in GERMAN.values()
    assert task(tmp_path, names="de").answered(model, "one file") == f"de: {said}"
    assert built.token_texts(torch.tensor([built.blank_token()])) == ["(other)"]
    assert built.scores(model)["chrf"] > built.chrf_of_copies() + 0.2


def test_what_is_left_in_english_scores_as_a_copy(tmp_path: Path) -> None:
    """All of it where the translation is the message, next to nothing where it is another."""
    write_catalogue(tmp_path, "de", {f"number {place}": f"number {place}" for place in range(40)})
    assert task(tmp_path).chrf_of_copies() == 1.0
    write(tmp_path)
    assert task(tmp_path, names="de").chrf_of_copies() < 1.0


def test_chrf_is_of_messages_of_all_languages(tmp_path: Path) -> None:
    """At most twice as many as it takes, from the first to the last."""
    built = Translation(TaskSettings(model="tiny"))
    chosen = built.measured_on()
    assert 300 <= len(chosen) <= 600
    assert len(chosen.inputs[1][:, 0].unique()) > len(LANGUAGES) / 2
    write(tmp_path)
    assert len(task(tmp_path).measured_on()) == len(task(tmp_path).evaluation_data())


class Endless(nn.Module):
    """Always the same character."""

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """A score of 1 for the last character."""
        scores_of = torch.zeros(*target.shape, VOCABULARY)
        scores_of[..., 3] = 1.0
        return scores_of + 0 * source.sum()


def test_a_translation_ends_even_if_the_model_does_not() -> None:
    """After as many characters as were ever learnt."""
    assert translated(Endless(), "x" * 99, "de") == CHARACTERS[0] * LONGEST_TARGET
