"""A site's folder of texts: read whole or refused, masked on the way, told of to nobody."""

import logging
from pathlib import Path

import pytest

from shared.errors import DataError
from shared.tasks.text_tables import TRAINING, LabelledTexts, read_folder

LABELS = ("ham", "spam")


def folder(tmp_path: Path, text: str) -> Path:
    """One with this table."""
    (tmp_path / TRAINING).write_text(text, encoding="utf-8")
    return tmp_path


def test_a_table_is_cleaned_then_masked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Zero-width characters hide no address; counts go to the log, and no text does."""
    table = 'label,text,who\nspam,"write to a\u200b@b.example,\nnow",x\nham,hello,y\n'
    with caplog.at_level(logging.INFO, logger="murmura.client"):
        found = read_folder(folder(tmp_path, table), TRAINING, LABELS)
    assert found.texts == ("write to <email>, now", "hello")
    assert found.labels.tolist() == [1, 0]
    assert found.columns == {"who": ["x", "y"]}
    assert "masked in 1 of 2 texts: email 1" in caplog.text
    assert "hello" not in caplog.text + repr(found)


def test_an_empty_table_holds_nothing(tmp_path: Path) -> None:
    """A site may have no examples."""
    found = read_folder(folder(tmp_path, "text,label\n"), TRAINING, LABELS)
    assert isinstance(found, LabelledTexts)
    assert len(found) == 0
    assert found.columns == {}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", "columns text and label"),
        ("text,kind\na,ham\n", "got text, kind"),
        ("text,label\na,ham\nb,secret\n", "labels of ham, spam, got another in row 2"),
        ("text,label\na\n", "2 values a row, got another number in row 1"),
        ("text,label\na,ham,b\n", "2 values a row, got another number in row 1"),
        ('text,label\n"a,ham\n', "table of texts in UTF-8"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, table: str, message: str) -> None:
    """With the place, and never with what stands there."""
    with pytest.raises(DataError, match=message) as caught:
        read_folder(folder(tmp_path, table), TRAINING, LABELS)
    assert "secret" not in str(caught.value)


def test_a_table_that_is_no_text_or_is_missing_is_refused(tmp_path: Path) -> None:
    """Of the bytes none is shown."""
    with pytest.raises(DataError, match=r"train\.csv"):
        read_folder(tmp_path, TRAINING, LABELS)
    (tmp_path / TRAINING).write_bytes(b"text,label\nsecret\xff,ham\n")
    with pytest.raises(DataError, match="got UnicodeDecodeError") as caught:
        read_folder(tmp_path, TRAINING, LABELS)
    assert "secret" not in str(caught.value)
