"""Languages by recurrent networks: they learn, and a run of one client is plain training."""

from pathlib import Path

import numpy as np
import pytest
import torch

from shared.config import Scalar
from shared.errors import ConfigurationError, DataError
from shared.model_check import check_fixed_parts, check_model
from shared.partition import PartitionSpec
from shared.task import Site, TaskSettings
from shared.tasks import load_task
from shared.tasks.catalogues import languages
from shared.tasks.language_id import LanguageId
from shared.tasks.text_classification import TextClassification
from shared.text_section import TextConfig
from tests.shared.tasks.text_learning import (
    accuracy,
    assert_a_run_of_one_is_plain_training,
    initial,
    learnt,
    majority,
    untouched_by_a_private_step,
)

LATIN = TextConfig(labels="de,fr,fi,hu")
ROWS = ["Der Zug fährt,de", "Le train part,fr", "Das Haus ist alt,de", "La maison rouge,fr"]


def task(model: str = "", text: TextConfig = LATIN, **settings: object) -> LanguageId:
    """One of four languages."""
    return LanguageId(TaskSettings(model=model, text=text, **settings))  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A site's folder with texts of its own in two languages."""
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text("\n".join(["text,label", *ROWS]), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("model", LanguageId.models)
def test_a_run_of_one_client_is_plain_training(tmp_path: Path, folder: Path, model: str) -> None:
    """To rounding, and a private step leaves no tensor as it was."""
    keys: dict[str, Scalar] = {
        "task": "language_id", "model": model, "text.labels": "de,fr", "data.dir": str(folder),
    }  # fmt: skip
    assert_a_run_of_one_is_plain_training(tmp_path / "runs", keys)
    small = task(model, TextConfig(labels="de,fr"), data_dir=folder)
    examples = small.site_data(Site(index=0, partition=None))
    assert untouched_by_a_private_step(small, examples) == []


@pytest.mark.parametrize("model", LanguageId.models)
def test_the_models_may_be_trained_privately(folder: Path, model: str) -> None:
    """A gradient for each text, the one that torch makes, and no part that is not agreed on."""
    small = task(model, TextConfig(labels="de,fr"), data_dir=folder)
    check_model(initial(small), small.evaluation_data(), small.losses, per_record=True)
    check_fixed_parts(small.build_model)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gru", "lstm"])
def test_the_recurrent_models_learn(model: str) -> None:
    """At least 35 points above the commonest of four languages, on messages nobody trained on."""
    chosen = task(model)
    spec = PartitionSpec(clients=1, examples_per_client=400)
    examples = chosen.site_data(Site(index=0, partition=spec))
    public = chosen.evaluation_data()
    assert accuracy(chosen, learnt(chosen, examples, steps=40, rate=0.03), public) > (
        majority(public) + 0.35
    )


def test_padding_changes_no_output() -> None:
    """A text's outputs do not depend on how far it was filled up."""
    for model in LanguageId.models:
        built = initial(task(model))
        numbers = torch.tensor([[5, 6, 7, 0, 0, 0, 0, 0]])
        torch.testing.assert_close(built(numbers), built(numbers[:, :4]))


def test_catalogues_as_clients() -> None:
    """The natural split: each site holds whole catalogues; the parts are disjoint."""
    natural = task(data_column="catalogue")
    spec = PartitionSpec(scheme="natural", clients=4, examples_per_client=0)
    parts = natural.parts(spec)
    column = natural.column()
    assert column is not None
    held = [set(column[part].tolist()) for part in parts]
    assert not any(one & other for i, one in enumerate(held) for other in held[:i])
    sizes = [len(natural.site_data(Site(index=i, partition=spec))) for i in range(4)]
    assert sizes == [len(part) for part in parts]
    assert sum(sizes) == len(natural.training_labels())
    assert task().column() is None
    with pytest.raises(ConfigurationError, match="one of language, catalogue, got 'who'"):
        task(data_column="who").column()


def test_labels_come_from_the_run_s_settings() -> None:
    """Never from what a site holds: the model's shape is the same everywhere."""
    assert len(load_task("language_id", TaskSettings()).build_model().head.bias) == 20  # type: ignore[union-attr, arg-type]
    assert task(text=TextConfig(labels="all")).labels == languages()
    for labels in ("de", "de, de"):
        with pytest.raises(ConfigurationError, match=r"text\.labels must name at least 2"):
            task(text=TextConfig(labels=labels))
    with pytest.raises(ConfigurationError, match="model must be one of gru, lstm"):
        task("transformer")


def test_a_site_s_folder_with_another_language_is_refused(folder: Path) -> None:
    """Its label is no output of the model."""
    with pytest.raises(DataError, match="labels of de, fi, got another in row 2"):
        task(text=TextConfig(labels="de,fi"), data_dir=folder).training_labels()


def test_the_base_leaves_texts_and_encoding_to_the_task() -> None:
    """It knows no data of its own."""

    class Nothing(TextClassification):
        models = ("none",)
        own_labels = ("a", "b")

    empty = Nothing(TaskSettings())
    for call in (empty.build_model, empty.demonstration, lambda: empty.encode([])):
        with pytest.raises(NotImplementedError):
            call()


def test_a_site_s_examples_are_its_own_copies(folder: Path) -> None:
    """What one site does to its tensors reaches no other."""
    small = task("mean", TextConfig(labels="de,fr"), data_dir=folder)
    spec = PartitionSpec(clients=2)
    for partition in (spec, None):
        examples = small.site_data(Site(index=0, partition=partition))
        for tensor in (*examples.inputs, examples.targets):
            tensor.fill_(-1)
        again = small.site_data(Site(index=0, partition=partition))
        assert all(int(tensor.min()) >= 0 for tensor in (*again.inputs, again.targets))
    assert int(small.training_labels().min()) == 0
    assert np.concatenate(small.parts(spec)).size == 4
