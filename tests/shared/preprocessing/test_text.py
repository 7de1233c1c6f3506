"""Cleaning and tokens: rules that are public, the same for each text, never past their range."""

import unicodedata
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigurationError, DataError
from shared.preprocessing.text import (
    PADDING,
    Characters,
    HashedWords,
    TextPipeline,
    Tokens,
    Vocabulary,
    clean,
    padded,
    words,
)

TOKENS: dict[str, Tokens] = {
    "characters": Characters("abc ", blocks=5),
    "hashed": HashedWords(buckets=7),
    "vocabulary": Vocabulary(("one", "two")),
}
texts = st.text(max_size=40)


@given(texts)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    """And what is clean is NFC, on one line, with single spaces between words alone."""
    cleaned = clean(text)
    assert clean(cleaned) == cleaned
    assert unicodedata.is_normalized("NFC", cleaned)
    assert cleaned == " ".join(cleaned.split())
    kept = {unicodedata.category(c) for c in cleaned if c not in "\u200c\u200d"}
    assert not kept & {"Cc", "Cf", "Cs"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e\u0301", "é"),
        ("a\u200bb", "ab"),
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),
        ("a \x01 b\ud800", "a b"),
        ("\ufeffx\r\n", "x"),
    ],
)
def test_what_cleaning_takes_away(text: str, expected: str) -> None:
    """Invisible characters, but not the joiner that Persian is written with."""
    assert clean(text) == expected


@given(texts)
def test_words_leave_out_nothing_but_space(text: str) -> None:
    """The words and marks of a text are its characters in lower case, without white space."""
    assert "".join(words(text)) == "".join(text.lower().split())


@pytest.mark.parametrize("name", TOKENS)
@given(text=texts)
def test_numbers_are_in_range_and_0_is_left_for_padding(name: str, text: str) -> None:
    """An embedding of `size` rows has one for each number."""
    found = TOKENS[name].encode(text)
    assert all(PADDING < number < TOKENS[name].size for number in found)


@pytest.mark.parametrize("name", TOKENS)
@given(batch=st.lists(texts, max_size=5), length=st.integers(1, 9))
def test_a_row_depends_on_its_own_text_alone(name: str, batch: list[str], length: int) -> None:
    """One record is one row, of the declared length, whatever the others are."""
    pipeline = TextPipeline(TOKENS[name], length)
    together = pipeline.encode(batch)
    assert together.shape == (len(batch), length)
    assert together.dtype == torch.int64
    for row, text in zip(together, batch, strict=True):
        assert torch.equal(row, pipeline.encode([text])[0])


def test_tokens_by_hand() -> None:
    """Known characters have their places, others one of a block; unknown words are 1."""
    assert TOKENS["characters"].encode("ab \u0431\u0432") == [1, 2, 4, 5 + 3, 5 + 3]
    assert TOKENS["vocabulary"].encode("Two ones, one") == [3, 1, 1, 2]
    assert padded([[1, 2, 3], [4]], 2).tolist() == [[1, 2], [4, 0]]
    assert padded([], 3).shape == (0, 3)


def test_a_word_s_number_is_the_same_in_every_process() -> None:
    """Python's own hash would make another model of the same weights."""
    assert HashedWords(4096).encode("Hallo x") == [3119, 2128]


def test_a_vocabulary_is_read_from_a_file(tmp_path: Path) -> None:
    """One word a line; a file that is no text is refused."""
    path = tmp_path / "words.txt"
    path.write_text("eins\n\nzwei\n", encoding="utf-8")
    assert Vocabulary.from_file(path) == Vocabulary(("eins", "zwei"))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="word list"):
        Vocabulary.from_file(path)
    with pytest.raises(DataError, match="word list"):
        Vocabulary.from_file(tmp_path / "none.txt")


def test_what_cannot_be_meant_is_refused() -> None:
    """A character or word twice, and sizes of nothing."""
    with pytest.raises(ConfigurationError, match="alphabet of different characters"):
        Characters("aa")
    with pytest.raises(ConfigurationError, match="at least 1 block"):
        Characters("a", blocks=0)
    with pytest.raises(ConfigurationError, match="each word once"):
        Vocabulary(("a", "a"))
    with pytest.raises(ConfigurationError, match="buckets must be"):
        HashedWords(0)
    with pytest.raises(ConfigurationError, match="length must be"):
        TextPipeline(HashedWords(1), 0)
