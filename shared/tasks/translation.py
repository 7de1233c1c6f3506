"""Translation from English at a toy's scale, character by character, by a small Transformer.

One example is one message of a gettext catalogue and its translation; its loss is the mean over the
translation's characters, each foreseen from the whole message and from the characters before it as
translators wrote them. Longer messages than 24 characters, and longer translations than 30, are
left out. Accents are characters of their own (Unicode's form NFD), so that one public vocabulary
serves all languages of Latin letters; the language is the token that a translation begins with.

The catalogues are Django's, or any folder's that holds `LANG/LC_MESSAGES/NAME.mo`. `data.name` says
which languages, `de` or `de,fr`; empty: all that the vocabulary knows. About each tenth message is
held out, in every language.

`population.column`: `language`, `catalogue` (of one application, in one language), or `part` (eight
messages of a catalogue that follow each other).
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.errors import ConfigurationError, DataError
from shared.task import Examples
from shared.tasks.chrf import chrf
from shared.tasks.shared_out import Pool, SharedOut
from shared.tasks.token_scores import shown, token_losses, token_metrics
from shared.tasks.transformer import PAD, EncoderDecoder, Size
from shared.tasks.translated_messages import Pair, django_catalogues, read_pairs

LANGUAGES = (
    "af", "ast", "az", "br", "bs", "ca", "cs", "cy", "da", "de", "dsb", "eo", "es", "es_AR",
    "es_CO", "es_MX", "es_VE", "et", "eu", "fi", "fr", "ga", "gd", "gl", "hr", "hsb", "hu", "ia",
    "id", "io", "is", "it", "kab", "lt", "lv", "ms", "nb", "nl", "nn", "pl", "pt", "pt_BR", "ro",
    "sk", "sl", "sq", "sr_Latn", "sv", "sw", "tk", "tr", "uz",
)  # fmt: skip
UNKNOWN, END = 1, 2
# ASCII; grave, acute, circumflex, tilde, macron, breve, dot, diaeresis, ring, double acute, caron,
# dot below, comma below, cedilla, ogonek; letters that are no other's with an accent; signs.
CHARACTERS = (
    "".join(map(chr, range(32, 127)))
    + "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0323\u0326\u0327\u0328"
    + "ßÆæØøĐđıŁłŒœÞþÐð"
    + "\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}\N{DOUBLE LOW-9 QUOTATION MARK}"
    + "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"
    + "\N{HORIZONTAL ELLIPSIS}\N{EN DASH}«»"
)
LONGEST_SOURCE, LONGEST_TARGET = 24, 30
_TOKENS = {character: 3 + place for place, character in enumerate(CHARACTERS)}
_FIRST_LANGUAGE = 3 + len(CHARACTERS)
VOCABULARY = _FIRST_LANGUAGE + len(LANGUAGES)
_PART = 8  # messages
_MEASURED = 300  # public messages that are translated at each measurement


class Translation(SharedOut):
    """The task; `tiny` has 16,910 parameters, `small` 47,966."""

    models: ClassVar[Mapping[str, Callable[[], nn.Module]]] = {
        "small": lambda: EncoderDecoder(VOCABULARY, Size(width=32, heads=2, layers=1)),
        "tiny": lambda: EncoderDecoder(VOCABULARY, Size(width=16, heads=2, layers=1)),
    }

    def pool(self) -> Pool:
        """All messages of the languages asked for, read once in a process."""
        return _read_pool(self.settings.data_dir or django_catalogues(), self._languages)

    @property
    def _languages(self) -> tuple[str, ...]:
        languages = tuple(self.settings.data_name.split(",")) if self.settings.data_name else ()
        if unknown := set(languages) - set(LANGUAGES):
            raise ConfigurationError(
                f"data.name must be languages of {', '.join(LANGUAGES)}, got {sorted(unknown)}"
            )
        return languages or LANGUAGES

    def class_names(self) -> Sequence[str]:
        """Of characters of a translation, as a person sees them; then of languages."""
        return ("(padding)", "(other)", "(end)", *map(shown, CHARACTERS), *LANGUAGES)

    def token_texts(self, tokens: Tensor) -> Sequence[str]:
        """Characters of the source, and where it ends."""
        names = self.class_names()
        return ["" if token == PAD else names[int(token)] for token in tokens]

    def explained_place(self) -> int:
        """The first character of the translation, of which the language alone is told."""
        return 0

    def blank_token(self) -> int:
        """Any other character: padding, which the model never sees inside a text, would not do."""
        return UNKNOWN

    def answered(self, model: nn.Module, text: str) -> str:
        """`text` in each language of the run, or in all there are; its first 24 characters."""
        found = (f"{language}: {translated(model, text, language)}" for language in self._languages)
        return "; ".join(found)

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy of each translation's characters, shape (n,)."""
        return token_losses(outputs, targets)

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Share of characters that were foreseen, and bits for a character; shape (n,)."""
        return token_metrics(outputs, targets)

    def scores(self, model: nn.Module) -> Mapping[str, float]:
        """`chrf`: of what the model says of public messages, against what translators wrote."""
        device = next(model.parameters()).device
        public = self.measured_on()
        sources, begun = (tensor.to(device) for tensor in public.inputs)
        return {"chrf": chrf(greedy(model, sources, begun[:, 0]), _texts(public.targets))}

    def chrf_of_copies(self) -> float:
        """The same of the English messages as they are: what needs no model."""
        public = self.measured_on()
        return chrf(_texts(public.inputs[0]), _texts(public.targets))

    def measured_on(self) -> Examples:
        """Public messages, evenly from all languages, of which `chrf` is taken."""
        public = self.pool().public
        return public.select(torch.arange(0, len(public), max(1, len(public) // _MEASURED)))


def encode(text: str) -> list[int]:
    """One token for each character of the text in form NFD, and `END`."""
    return [*(_TOKENS.get(c, UNKNOWN) for c in unicodedata.normalize("NFD", text)), END]


def decode(tokens: Sequence[int]) -> str:
    """The text up to `END`, with U+FFFD for what the vocabulary does not know."""
    kept = tokens[: tokens.index(END)] if END in tokens else tokens
    unknown = "\N{REPLACEMENT CHARACTER}"
    text = "".join(CHARACTERS[t - 3] if 3 <= t < _FIRST_LANGUAGE else unknown for t in kept)
    return unicodedata.normalize("NFC", text)


def translated(model: nn.Module, text: str, language: str) -> str:
    """The likeliest character after the likeliest character, for people to look at.

    Args:
        model: In evaluation mode.
        text: Of at most `LONGEST_SOURCE` characters; the rest is cut off.
        language: One of `LANGUAGES`.
    """
    source = torch.tensor([[*encode(text)[:LONGEST_SOURCE], END]])
    return greedy(model, source, torch.tensor([_begin(language)]))[0]


@torch.no_grad()
def greedy(model: nn.Module, sources: Tensor, begins: Tensor) -> list[str]:
    """The likeliest character after the likeliest character, of each row.

    Args:
        model: In evaluation mode.
        sources: Tokens of messages, shape (n, S).
        begins: Tokens of languages, shape (n,).
    """
    found = begins[:, None]
    for _ in range(LONGEST_TARGET):
        scores = model(sources, found)[:, -1, END:_FIRST_LANGUAGE]
        found = torch.cat([found, END + scores.argmax(1, keepdim=True)], dim=1)
    return [decode(row) for row in found[:, 1:].tolist()]


def examples_of(pairs: Sequence[tuple[list[int], list[int], str]]) -> Examples:
    """Sources, what each translation begins with and all but its end, and the translations.

    Args:
        pairs: Tokens of source and target with their `END`, and the language.
    """
    sources = _padded([source for source, _, _ in pairs], LONGEST_SOURCE + 1)
    begun = [[_begin(language), *target[:-1]] for _, target, language in pairs]
    targets = _padded([target for _, target, _ in pairs], LONGEST_TARGET + 1)
    return Examples((sources, _padded(begun, LONGEST_TARGET + 1)), targets)


def _texts(tokens: Tensor) -> list[str]:
    return [decode(row) for row in tokens.tolist()]


def _begin(language: str) -> int:
    return _FIRST_LANGUAGE + LANGUAGES.index(language)


def _padded(rows: Sequence[list[int]], length: int) -> Tensor:
    found = torch.full((len(rows), length), PAD)
    for place, row in enumerate(rows):
        found[place, : len(row)] = torch.tensor(row)
    return found


@lru_cache(maxsize=2)
def _read_pool(folder: Path, languages: tuple[str, ...]) -> Pool:
    training: list[Pair] = []
    encoded: dict[bool, list[tuple[list[int], list[int], str]]] = {True: [], False: []}
    for pair in read_pairs(folder, languages):
        source, target = encode(pair.source), encode(pair.target)
        if len(source) <= LONGEST_SOURCE + 1 and len(target) <= LONGEST_TARGET + 1:
            encoded[pair.public].append((source, target, pair.language))
            training += [] if pair.public else [pair]
    if not training:
        raise DataError(
            f"{folder} must hold catalogues (LANG/LC_MESSAGES/NAME.mo) of {', '.join(languages)} "
            "with short messages, got none"
        )
    columns = {
        "language": np.array([pair.language for pair in training]),
        "catalogue": np.array([pair.catalogue for pair in training]),
    }
    labels = np.array([LANGUAGES.index(pair.language) for pair in training], dtype=np.int64)
    columns["part"] = _parts(columns["catalogue"])
    return Pool(examples_of(encoded[False]), examples_of(encoded[True]), labels, columns)


def _parts(
    catalogues: NDArray[np.str_],
) -> NDArray[np.str_]:
    """Each message's catalogue and which eight of it."""
    seen: dict[str, int] = {}
    found = []
    for name in catalogues.tolist():
        place = seen.get(name, 0)
        seen[name] = place + 1
        found.append(f"{name} {place // _PART:03}")
    return np.array(found)
