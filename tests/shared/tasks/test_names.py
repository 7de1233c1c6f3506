"""What built-in tasks call their classes, columns and tokens, for people who look at a model."""

from pathlib import Path

import pytest
import torch

from shared.errors import DataError
from shared.looking import class_names, feature_names, token_texts
from shared.task import TaskSettings
from shared.tasks import language_model
from shared.tasks.flights import Flights
from shared.tasks.image_text import ImageText
from shared.tasks.language_id import LanguageId
from shared.tasks.language_model import LanguageModel
from shared.tasks.sentences import Sentences
from shared.tasks.speech_commands import SpeechCommands
from shared.tasks.tabular import Tabular
from shared.tasks.transformer import PAD
from shared.tasks.translation import VOCABULARY, Translation, encode

PIPELINE = """
[table]
file = "table.csv"

[[inputs]]
column = "age"
kind = "number"
low = 0.0
high = 100.0

[[inputs]]
column = "sort"
kind = "category"
values = ["a", "b"]

[target]
column = "ill"
values = ["no", "yes"]
"""


def test_texts_are_read_by_lines_and_spelt_back(tmp_path: Path) -> None:
    """Characters; numbers for hashed words; nothing for padding."""
    task = LanguageId(TaskSettings())
    (tmp_path / "x.txt").write_text(
        "Où est-il ?\n\n\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439\n"
    )
    (inputs,) = task.read_inputs([tmp_path / "x.txt"])
    assert "".join(token_texts(task, inputs[0])) == "Où␣est-il␣?"
    assert (
        "".join(token_texts(task, inputs[1]))
        == "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439"
    )
    assert class_names(task, 20)[0] == "bg"
    words = LanguageId(TaskSettings(model="word_gru"))
    assert token_texts(words, torch.tensor([0, 7])) == ["", "7"]
    with pytest.raises(DataError, match="texts in UTF-8"):
        task.read_inputs([tmp_path / "missing.txt"])


def test_pieces_of_words_are_spelt_back() -> None:
    """Of the public vocabulary; the encoder marks beginning and end."""
    task = Sentences(TaskSettings(model="full"))
    (numbers,) = task.encode(["A valid address"])
    spelt = token_texts(task, numbers[0])
    assert spelt[:6] == ["[CLS]", "a", "valid", "address", "[SEP]", ""]


def test_tables_name_columns_and_classes(tmp_path: Path) -> None:
    """As the pipeline lists them; of the flights as the task does."""
    (tmp_path / "pipeline.toml").write_text(PIPELINE)
    task = Tabular(TaskSettings(data_dir=tmp_path))
    assert feature_names(task, 3) == ["age", "sort: a", "sort: b"]
    assert class_names(task, 2) == ["no", "yes"]
    flights = Flights(TaskSettings())
    assert feature_names(flights, 7)[:2] == ["dep_delay", "hour"]
    assert class_names(flights, 2) == ["in time", "late"]


def test_other_classes_have_names() -> None:
    """Spoken words, and whether a caption is right."""
    assert len(set(class_names(SpeechCommands(TaskSettings()), 10))) == 10
    assert class_names(SpeechCommands(TaskSettings()), 10)[0] != "0"
    assert class_names(ImageText(TaskSettings()), 2) == ["wrong", "right"]


def test_characters_of_sequences_are_spelt_so_that_they_are_seen() -> None:
    """Blanks, ends of lines and accents by a sign; padding and ends by nothing."""
    model = LanguageModel(TaskSettings())
    text = torch.cat([torch.tensor([language_model.BEGIN]), language_model.encode("a \n\u00e9")])
    assert token_texts(model, text) == ["(beginning)", "a", "␣", "↵", "(other)"]
    assert len(model.class_names()) == language_model.VOCABULARY
    translation = Translation(TaskSettings())
    source = torch.tensor([*encode("\u00e9!"), PAD])
    assert token_texts(translation, source) == ["e", "◌\u0301", "!", "(end)", ""]
    assert len(translation.class_names()) == VOCABULARY
    assert (model.explained_place(), translation.explained_place()) == (-1, 0)
