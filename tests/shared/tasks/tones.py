"""Sounds made in a test: words are tones of different heights, speakers differ by a few hertz."""

import math
import wave
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor


def tone(hertz: float, *, rate: int, seconds: float = 1.0) -> Tensor:
    """A sine of amplitude 0.3, shape (rate · seconds,)."""
    places = torch.arange(int(rate * seconds)) / rate
    return 0.3 * torch.sin(2 * math.pi * hertz * places)


def write_wav(path: Path, samples: Tensor, *, rate: int) -> None:
    """One channel of 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32768).round().short().numpy().astype("<i2").tobytes())


def write_words(
    folder: Path, words: Sequence[str], *, speakers: int = 16, rate: int = 8000
) -> None:
    """One recording of each word by each speaker, `word/accent+voice_0.wav`."""
    for place, word in enumerate(words):
        for speaker in range(speakers):
            hertz = 200.0 * 1.4**place * (1.0 + 0.004 * speaker)
            path = folder / word / f"{'north' if speaker % 2 else 'south'}+v{speaker:02}_0.wav"
            write_wav(path, tone(hertz, rate=rate, seconds=0.3 + 0.02 * speaker), rate=rate)
