"""The language model: windows of a folder's texts, what is held out, and that it learns."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from shared.errors import ConfigurationError, DataError
from shared.model_check import check_model
from shared.parameters import dimension
from shared.partition import PartitionSpec
from shared.task import Site, TaskSettings
from shared.tasks import language_model
from shared.tasks.language_model import (
    BEGIN,
    UNKNOWN,
    VOCABULARY,
    WINDOW,
    LanguageModel,
    continued,
    decode,
    encode,
)
from shared.tasks.shared_out import SharedOut
from shared.tasks.token_scores import unigram_baseline
from tests.shared.tasks.sequence_learning import (
    assert_a_run_of_one_is_plain_training,
    learnt,
    scores,
)

WHOLE = Site(index=0, partition=None)
PART = 8 * WINDOW


def write(folder: Path, *, parts: int = 20, seed: int = 0) -> None:
    """A text of words in a random order: what follows within a word can be learnt."""
    rng = np.random.default_rng(seed)
    words = rng.choice(["federation", "privacy", "noise", "a", "the"], parts * PART)
    (folder / "words.txt").write_text(" ".join(words)[: parts * PART], encoding="utf-8")


def task(folder: Path, *, model: str = "tiny", column: str = "") -> LanguageModel:
    """The task over that folder."""
    return LanguageModel(TaskSettings(model=model, data_dir=folder, data_column=column))


def test_windows_are_the_text_and_nothing_is_in_two_of_them(tmp_path: Path) -> None:
    """Inputs are shifted by one; what is left at the end is not used."""
    text = "".join(chr(33 + place % 90) for place in range(3 * WINDOW + 5))
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    examples = task(tmp_path).site_data(WHOLE)
    assert decode(examples.targets.flatten()) == text[: 3 * WINDOW]
    assert examples.inputs[0][:, 0].tolist() == [BEGIN] * 3
    assert torch.equal(examples.inputs[0][:, 1:], examples.targets[:, :-1])


def test_the_vocabulary_is_public_and_what_it_lacks_is_one_token() -> None:
    """No character of anybody's text becomes a token of its own."""
    assert VOCABULARY == 100
    assert encode("é\t~").tolist() == [UNKNOWN, 3, VOCABULARY - 1]
    assert decode(encode("Aé\n")) == "A\N{REPLACEMENT CHARACTER}\n"


def test_each_tenth_part_is_held_out_and_sites_hold_the_rest(tmp_path: Path) -> None:
    """Whole parts; by part no two clients share one, by file a client has all of it."""
    write(tmp_path)
    (tmp_path / "short.txt").write_text("b" * WINDOW, encoding="utf-8")
    by_part = task(tmp_path, column="part")
    public, training = by_part.evaluation_data(), by_part.site_data(WHOLE)
    assert (len(public), len(training)) == (16, 145)
    spec = PartitionSpec(scheme="natural", clients=19)
    sites = [by_part.site_data(Site(index=index, partition=spec)) for index in range(19)]
    assert sorted(len(site) for site in sites) == [1] + [8] * 18
    by_file = task(tmp_path, column="file")
    pair = PartitionSpec(scheme="natural", clients=2)
    assert len(by_file.site_data(Site(index=0, partition=pair))) == 1
    assert by_file.training_labels().unique().tolist() == [0, 1]


def test_a_site_gets_copies(tmp_path: Path) -> None:
    """The pool is one object that all sites of a process read."""
    write(tmp_path, parts=2)
    task(tmp_path).site_data(WHOLE).targets.zero_()
    assert task(tmp_path).site_data(WHOLE).targets.min() > 0


def test_files_of_fortunes_are_known_by_their_index(tmp_path: Path) -> None:
    """Not the index itself, no link to the same text; the sign between two is left out."""
    (tmp_path / "cookie").write_text("a" * 40 + "\n%\n" + "b" * 40, encoding="utf-8")
    (tmp_path / "cookie.dat").write_bytes(b"\0\xff")
    (tmp_path / "cookie.u8").symlink_to("cookie")
    (tmp_path / "missing.dat").write_bytes(b"")
    (tmp_path / "notes").write_text("n" * 100, encoding="utf-8")
    targets = task(tmp_path).site_data(WHOLE).targets
    assert decode(targets.flatten()) == "a" * 40 + "\n" + "b" * 23


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff" * 100, "UTF-8"),
        (b"a" * 70 + b"\0", "zero byte"),
        (b"a" * (WINDOW - 1), "64 characters or more, got none"),
    ],
)
def test_damaged_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    """By the name of the file or folder."""
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        task(tmp_path).site_data(WHOLE)
    assert str(tmp_path) in str(caught.value)


def test_a_folder_without_texts_or_with_too_few_is_refused(tmp_path: Path) -> None:
    """Nothing to train on; nothing to measure on."""
    with pytest.raises(DataError, match="got none"):
        task(tmp_path).pool()
    write(tmp_path, parts=9)
    language_model._read_pool.cache_clear()
    with pytest.raises(DataError, match="hold some out"):
        task(tmp_path).evaluation_data()


def test_wrong_names_are_refused(tmp_path: Path) -> None:
    """Of a model, of a column."""
    with pytest.raises(ConfigurationError, match="small, tiny, medium, got 'gpt'"):
        task(tmp_path, model="gpt")
    write(tmp_path, parts=2)
    with pytest.raises(ConfigurationError, match="file, part, got 'author'"):
        task(tmp_path, column="author").column()


@pytest.mark.parametrize(
    ("model", "count"), [("tiny", 6_564), ("small", 19_172), ("medium", 112_612)]
)
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
    data = tmp_path / "data"
    data.mkdir()
    write(data, parts=10)
    assert_a_run_of_one_is_plain_training(
        "language_model", data, tmp_path / "runs", {"model": "tiny", "training.learning_rate": 0.5}
    )


@pytest.mark.slow
def test_it_learns_what_follows_what(tmp_path: Path) -> None:
    """30 points more than what knows frequencies alone, and a bit less for each character."""
    write(tmp_path)
    built = task(tmp_path)
    model = learnt(built, built.site_data(WHOLE), steps=60, rate=0.02)
    found = scores(built, model, built.evaluation_data())
    training, public = built.site_data(WHOLE).targets, built.evaluation_data().targets
    baseline = unigram_baseline(training, public, VOCABULARY)
    assert found["accuracy"] > baseline["accuracy"] + 0.3
    assert found["bits_per_token"] < baseline["bits_per_token"] - 1.0
    text = continued(model, "the priv", 3)
    assert text == "the privacy"
    assert built.answered(model.eval(), "the priv").startswith("acy")
    assert built.token_texts(torch.tensor([built.blank_token()])) == ["(other)"]


def test_a_task_must_say_where_its_examples_are() -> None:
    """What tasks over a pool have in common has none, and no model."""

    class Nothing(SharedOut):
        models: ClassVar[Mapping[str, Callable[[], nn.Module]]] = {"none": nn.Identity}

    with pytest.raises(NotImplementedError):
        Nothing(TaskSettings()).pool()
