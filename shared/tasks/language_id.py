"""Which language a short text is in, from its characters, by a recurrent network.

The demonstration is Django's message catalogues, which the extra `text` installs: by default 20
languages of three scripts, with `text.labels` any others, a,b,c, or `all`. A site with texts of its
own has a folder (`shared.tasks.text_tables`). The alphabet is a constant; nothing is learnt from
texts but the model.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from shared.preprocessing.text import Characters, HashedWords, TextPipeline
from shared.tasks.catalogues import by_language, languages
from shared.tasks.recurrent import MeanOfTokens, Recurrent, gru, lstm
from shared.tasks.text_classification import TextClassification
from shared.tasks.text_tables import LabelledTexts

# Basic Latin to Latin Extended-A, the usual Greek and Cyrillic; of other scripts the block counts.
ALPHABET = "".join(
    chr(point)
    for first, last in ((0x20, 0x7E), (0xA0, 0x17F), (0x384, 0x3CE), (0x400, 0x45F))
    for point in range(first, last + 1)
)
_SPELLED = Characters(ALPHABET)
CHARACTERS = TextPipeline(_SPELLED, length=32)
WORDS = TextPipeline(HashedWords(buckets=4096), length=16)


_MODELS: Mapping[str, Callable[[int], nn.Module]] = {
    "gru": partial(Recurrent, gru, CHARACTERS.tokens.size),
    "lstm": partial(Recurrent, lstm, CHARACTERS.tokens.size),
    "word_gru": partial(Recurrent, gru, WORDS.tokens.size),
    "mean": partial(MeanOfTokens, CHARACTERS.tokens.size),
}


class LanguageId(TextClassification):
    """The task; `population.column` may be `language` or `catalogue`."""

    models: ClassVar[tuple[str, ...]] = tuple(_MODELS)
    own_labels: ClassVar[tuple[str, ...]] = (
        "bg",
        "cs",
        "da",
        "de",
        "el",
        "es",
        "et",
        "fi",
        "fr",
        "hu",
        "id",
        "it",
        "lt",
        "nl",
        "pl",
        "pt",
        "ro",
        "ru",
        "sv",
        "tr",
    )

    def chosen_labels(self) -> tuple[str, ...]:
        """The languages: 20, those that `text.labels` lists, or all that Django has."""
        return languages() if self.settings.text.labels == "all" else super().chosen_labels()

    def build_model(self) -> nn.Module:
        """A fresh model; its initial numbers come from torch's global generator."""
        return _MODELS[self.model](len(self.labels))

    def demonstration(self) -> tuple[LabelledTexts, LabelledTexts]:
        """Messages of the catalogues, and one of ten held out."""
        return by_language(self.labels)

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, ...]:
        """Token numbers, shape (n, length)."""
        pipeline = WORDS if self.model == "word_gru" else CHARACTERS
        return (pipeline.encode(texts),)

    def token_texts(self, tokens: Tensor) -> Sequence[str]:
        """Characters, a space as an open box; of hashed words the numbers."""
        if self.model == "word_gru":
            return [str(number) if number else "" for number in tokens.tolist()]
        return [_SPELLED.spelt(number).replace(" ", "␣") for number in tokens.tolist()]
