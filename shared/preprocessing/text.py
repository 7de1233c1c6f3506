"""Text -> rows of token numbers, by public rules alone: no step learns from anybody's text.

A pipeline is declared: cleaning, tokens, length. The tokens come from an alphabet or a word list
that is published with the task, or from a hash; a vocabulary made from private text would tell
which words occur in it, and no noise would cover that. Each step sees one text at a time, so one
record of private data is one row of numbers and changes no other row.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from shared.errors import ConfigurationError, DataError

PADDING = 0
_UNKNOWN = 1
_JOINERS = "\u200c\u200d"  # written in Persian and Hindi, and a letter's form depends on them
_DROPPED = {"Cc", "Cf", "Cs"}
_BLOCK = 128  # code points that share a token outside the alphabet
_WORD = re.compile(r"\w+|[^\w\s]")


def clean(text: str) -> str:
    r"""`text` in Unicode form NFC, on one line, without control, format or surrogate characters.

    Cleaning twice changes nothing more. Joiners of letters stay.

    >>> clean(" cafe\u0301\tau\x00 lait\n")
    'café au lait'
    """
    spaced = " ".join(text.split())
    kept = "".join(c for c in spaced if c in _JOINERS or unicodedata.category(c) not in _DROPPED)
    # Again, for what was dropped may have stood between two spaces.
    return unicodedata.normalize("NFC", " ".join(kept.split()))


def words(text: str) -> list[str]:
    """Words and single marks of punctuation, in order, in lower case.

    >>> words("Don't stop, Ωmega!")
    ['don', "'", 't', 'stop', ',', 'ωmega', '!']
    """
    return _WORD.findall(text.lower())


class Tokens(Protocol):
    """How a clean text becomes numbers; 0 is left for padding."""

    @property
    def size(self) -> int:
        """All numbers are below it."""

    def encode(self, text: str) -> list[int]:
        """Numbers in [1, size), in the order of the text."""


@dataclass(frozen=True, slots=True)
class Characters:
    """One token a character of `alphabet`; of others, one a block of 128 code points.

    Attributes:
        alphabet: Public; each character once.
        blocks: Number of tokens that blocks outside the alphabet are hashed to, at least 1.
    """

    alphabet: str
    blocks: int = 64
    _numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse an alphabet that says a character twice, and no block."""
        if len(set(self.alphabet)) != len(self.alphabet) or self.blocks < 1:
            raise ConfigurationError(
                "expected an alphabet of different characters and at least 1 block, got "
                f"{len(self.alphabet)} of which {len(set(self.alphabet))} differ, and {self.blocks}"
            )
        numbers = {character: 1 + place for place, character in enumerate(self.alphabet)}
        object.__setattr__(self, "_numbers", numbers)

    @property
    def size(self) -> int:
        """As `Tokens`."""
        return 1 + len(self.alphabet) + self.blocks

    def encode(self, text: str) -> list[int]:
        """As `Tokens`."""
        first = 1 + len(self.alphabet)
        return [self._numbers.get(c, first + ord(c) // _BLOCK % self.blocks) for c in text]

    def spelt(self, number: int) -> str:
        """The character of a token, a box for a block, nothing for padding.

        >>> [Characters("ab").spelt(number) for number in (0, 1, 2, 3)]
        ['', 'a', 'b', '▯']
        """
        if number == PADDING:
            return ""
        return self.alphabet[number - 1] if number <= len(self.alphabet) else "▯"


@dataclass(frozen=True, slots=True)
class HashedWords:
    """One token a word, by a hash that is the same everywhere; needs no vocabulary.

    Attributes:
        buckets: Number of tokens, at least 1; two words may share one.
    """

    buckets: int

    def __post_init__(self) -> None:
        """Refuse no bucket."""
        if self.buckets < 1:
            raise ConfigurationError(f"buckets must be at least 1, got {self.buckets}")

    @property
    def size(self) -> int:
        """As `Tokens`."""
        return 1 + self.buckets

    def encode(self, text: str) -> list[int]:
        """As `Tokens`."""
        return [1 + _hash(word) % self.buckets for word in words(text)]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """One token a word of a public list; 1 for all others.

    Attributes:
        listed: Words in lower case, each once.
    """

    listed: tuple[str, ...]
    _numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse a list that says a word twice."""
        if len(set(self.listed)) != len(self.listed):
            raise ConfigurationError(
                f"expected each word once, got {len(self.listed)} words of which "
                f"{len(set(self.listed))} differ"
            )
        numbers = {word: 2 + place for place, word in enumerate(self.listed)}
        object.__setattr__(self, "_numbers", numbers)

    @classmethod
    def from_file(cls, path: Path) -> "Vocabulary":
        """The words of a UTF-8 file, one a line. Raises DataError if it cannot be read."""
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"expected a word list in UTF-8 at {path}, got {error}") from error
        return cls(tuple(line for line in lines if line))

    @property
    def size(self) -> int:
        """As `Tokens`."""
        return 2 + len(self.listed)

    def encode(self, text: str) -> list[int]:
        """As `Tokens`."""
        return [self._numbers.get(word, _UNKNOWN) for word in words(text)]


@dataclass(frozen=True, slots=True)
class TextPipeline:
    """Cleaning, tokens, and a length to which all are cut or filled up with 0.

    Attributes:
        tokens: Characters or words.
        length: Tokens of each row, at least 1.
    """

    tokens: Tokens
    length: int

    def __post_init__(self) -> None:
        """Refuse rows of nothing."""
        if self.length < 1:
            raise ConfigurationError(f"length must be at least 1, got {self.length}")

    def encode(self, texts: Iterable[str]) -> Tensor:
        """Numbers of each text, shape (n, length), int64; row i depends on text i alone."""
        return padded([self.tokens.encode(clean(text)) for text in texts], self.length)


def padded(rows: Sequence[Sequence[int]], length: int) -> Tensor:
    """`rows` cut to `length` or filled up with `PADDING`, shape (n, length), int64."""
    table = np.full((len(rows), length), PADDING, dtype=np.int64)
    for place, row in enumerate(rows):
        kept = row[:length]
        table[place, : len(kept)] = kept
    return torch.from_numpy(table)


@lru_cache(maxsize=1 << 16)
def _hash(word: str) -> int:
    # Python's own hash of a text differs from process to process.
    return int.from_bytes(blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "big")
