"""Short recordings as log-mel spectrograms, by public constants alone.

The loudness of a band is a mean of power per hertz, in windows of 25 ms each 10 ms: the same for
one sound at each rate of recording. Nothing is normalised by statistics of anybody's recordings.

Source: Davis & Mermelstein 1980 for mel bands; mel = 2595 log₁₀(1 + f/700) (O'Shaughnessy 1987).
"""

import wave
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from shared.errors import DataError

BANDS, FRAMES = 40, 100
RATES = (8000, 16000, 22050)  # the last is what espeak-ng writes
_SECONDS, _WINDOW, _HOP = 1.0, 0.025, 0.01
_LOWEST, _HIGHEST = 60.0, 4000.0  # hertz; half of the lowest rate
_QUIET = 1e-10  # power per hertz below which nothing is told apart: about 16 bits' own noise
_MIDDLE, _SPREAD = -16.0, 5.0  # of the logarithm; speech comes to about -1 to 1


def read_wav(path: Path) -> tuple[Tensor, int]:
    """Samples in [-1, 1), shape (n,), float32, and how many there are in a second.

    Raises:
        DataError: missing, cut short, not of 16 bits, not of one channel, or of another rate; names
            the file.
    """
    try:
        with wave.open(str(path), "rb") as file:
            form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            count, content = file.getnframes(), file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise DataError(f"{path} must be a WAV file that can be read: {error}") from error
    if form[:2] != (1, 2) or form[2] not in RATES:
        raise DataError(
            f"{path} must have 1 channel, 16 bits and one of the rates {RATES}, got {form[0]} "
            f"channels, {8 * form[1]} bits, rate {form[2]}"
        )
    if len(content) != 2 * count or not count:
        raise DataError(f"{path} must hold {count or 'some'} samples, got {len(content) // 2}")
    samples = np.frombuffer(content, dtype="<i2").astype(np.float32) / 32768.0
    return torch.from_numpy(samples), form[2]


def log_mel(samples: Tensor, rate: int) -> Tensor:
    """Loudness of `BANDS` bands in the first second, shape (BANDS, FRAMES), about -1 to 1.

    Args:
        samples: Shape (n,); silence follows where there is less than a second.
        rate: Samples in a second, one of `RATES`.
    """
    whole, hop = int(_SECONDS * rate), _HOP * rate
    width = int(_WINDOW * rate)
    one = torch.zeros(whole + width)
    one[: min(whole, len(samples))] = samples[:whole]
    starts = (torch.arange(FRAMES) * hop).long()  # 220.5 samples at 22,050 a second
    frames = one[starts[:, None] + torch.arange(width)]
    window = torch.hann_window(width)
    power = torch.fft.rfft(frames * window, n=_transform(rate)).abs().square()
    density = power / (rate * window.square().sum())
    loudness: Tensor = (_filters(rate) @ density.T + _QUIET).log()
    return (loudness - _MIDDLE) / _SPREAD


def _transform(rate: int) -> int:
    """Length of the Fourier transform: bands are wider than what lies between two frequencies."""
    return 2048 if rate > RATES[1] else 1024 if rate > RATES[0] else 512


@lru_cache(maxsize=4)
def _filters(rate: int) -> Tensor:
    """Weights of frequencies in each band, shape (BANDS, frequencies); each band's sum is 1."""
    frequencies = torch.arange(_transform(rate) // 2 + 1) * (rate / _transform(rate))
    corners = _hertz(torch.linspace(_mel(_LOWEST), _mel(_HIGHEST), BANDS + 2))
    low, top, high = (corners[i : BANDS + i, None] for i in range(3))
    rising, falling = (frequencies - low) / (top - low), (high - frequencies) / (high - top)
    weights = torch.minimum(rising, falling).clamp(min=0.0)
    return weights / weights.sum(1, keepdim=True)


def _mel(hertz: float) -> float:
    return float(2595.0 * np.log10(1.0 + hertz / 700.0))


def _hertz(mel: Tensor) -> Tensor:
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
