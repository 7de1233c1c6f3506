"""Speech recognition of ten key words: log-mel bands, and a convolution over time.

The words are those of a folder of WAV files (`word/speaker_anything.wav`, one channel, 16 bits,
8,000, 16,000 or 22,050 samples a second; the layout of Warden's "Speech Commands"), or spoken by
espeak-ng, which are synthetic. Folders of other words are not read. Each eighth speaker, in the
order of names, is held out for evaluation: voices that no site holds.

`population.column`: `speaker`, the name up to the first `_`, or `accent`, that up to the first `+`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from shared.errors import DataError
from shared.task import Examples
from shared.tasks.shared_out import Pool, SharedOut
from shared.tasks.spoken_words import WORDS, spoken_words
from shared.tasks.wav import BANDS, FRAMES, log_mel, read_wav

_HELD_OUT = 8


def convolution(channels: int) -> nn.Module:
    """Two convolutions over time with group norm: BANDS x FRAMES -> a score for each word."""
    places = FRAMES // 20
    return nn.Sequential(
        nn.Conv1d(BANDS, channels, 5, stride=2, padding=2), nn.GroupNorm(4, channels), nn.Tanh(),
        nn.MaxPool1d(2),
        nn.Conv1d(channels, channels, 5, padding=2), nn.GroupNorm(4, channels), nn.Tanh(),
        nn.MaxPool1d(5),
        nn.Flatten(), nn.Linear(places * channels, len(WORDS)),
    )  # fmt: skip


class SpeechCommands(SharedOut):
    """The task; `small` has 5,386 parameters, `medium` 13,322."""

    models: ClassVar[Mapping[str, Callable[[], nn.Module]]] = {
        "small": lambda: convolution(16),
        "medium": lambda: convolution(32),
    }

    def pool(self) -> Pool:
        """All recordings of the folder, or all that espeak-ng speaks; read once in a process."""
        return _read_pool(self.settings.data_dir or spoken_words())

    def class_names(self) -> Sequence[str]:
        """The words."""
        return WORDS

    def read_inputs(self, paths: Sequence[Path]) -> tuple[Tensor, ...]:
        """The first second of each recording; see `read_wav` for what it must be."""
        return (torch.stack([log_mel(*read_wav(path)) for path in paths]),)

    def axis_names(self) -> tuple[str, str]:
        """Bands from low to high, and frames of 10 ms."""
        return ("band", "frame")

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Cross entropy of each recording, shape (n,)."""
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Whether each recording's highest score is its word's, 0 or 1, shape (n,)."""
        return {"accuracy": (outputs.argmax(1) == targets).float()}


@lru_cache(maxsize=2)
def _read_pool(folder: Path) -> Pool:
    paths = [path for word in WORDS for path in sorted((folder / word).glob("*.wav"))]
    if not paths:
        raise DataError(
            f"{folder} must hold WAV files in folders named {', '.join(WORDS)}, got none"
        )
    examples = Examples(
        (torch.stack([log_mel(*read_wav(path)) for path in paths]),),
        torch.tensor([WORDS.index(path.parent.name) for path in paths]),
    )
    speakers = np.array([path.stem.partition("_")[0] for path in paths])
    held_out = np.isin(speakers, np.unique(speakers)[_HELD_OUT - 1 :: _HELD_OUT])
    training, public = (
        examples.select(torch.from_numpy(np.flatnonzero(rows))) for rows in (~held_out, held_out)
    )
    whose = speakers[~held_out]
    accents = np.array([speaker.partition("+")[0] for speaker in whose])
    columns = {"speaker": whose, "accent": accents}
    return Pool(training, public, training.targets.numpy().copy(), columns)
