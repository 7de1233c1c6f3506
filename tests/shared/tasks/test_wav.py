"""Log-mel spectrograms: where a tone shows, at each rate alike, and files that are refused."""

import wave
from pathlib import Path

import pytest
import torch

from shared.errors import DataError
from shared.tasks.wav import BANDS, FRAMES, RATES, log_mel, read_wav
from tests.shared.tasks.tones import tone, write_wav


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_shows_in_its_band_at_each_rate_alike(rate: int) -> None:
    """Numbers of about -1 to 1; 440 Hz lies in the band of 549 mel, the ninth."""
    spectrogram = log_mel(tone(440.0, rate=rate, seconds=1.0), rate)
    assert spectrogram.shape == (BANDS, FRAMES)
    assert spectrogram[:, 10:90].argmax(0).unique().tolist() == [8]
    reference = log_mel(tone(440.0, rate=8000, seconds=1.0), 8000)
    assert float((spectrogram - reference)[8, 10:90].abs().max()) < 0.01
    assert float(spectrogram.abs().max()) < 2.0


def test_a_higher_tone_shows_higher_and_silence_is_the_least_there_is() -> None:
    """Bands rise with frequency; what is quieter than 16 bits tell is one number."""
    tops = [
        int(log_mel(tone(hertz, rate=16000), 16000)[:, 20].argmax())
        for hertz in (200.0, 800.0, 3200.0)
    ]
    assert tops == sorted(set(tops))
    silence = log_mel(torch.zeros(10), 8000)
    assert len(silence.unique()) == 1
    assert float(silence[0, 0]) == pytest.approx(-1.405, abs=1e-3)


def test_what_is_short_is_followed_by_silence_and_what_is_long_is_cut() -> None:
    """One second, whatever there is."""
    short = log_mel(tone(440.0, rate=8000, seconds=0.3), 8000)
    assert len(short[:, 40:].unique()) == 1
    long = torch.cat([tone(440.0, rate=8000), tone(900.0, rate=8000)])
    assert torch.equal(log_mel(long, 8000), log_mel(long[:8000], 8000))


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    """To half of a step of 16 bits."""
    samples = tone(300.0, rate=16000, seconds=0.1)
    write_wav(tmp_path / "a.wav", samples, rate=16000)
    found, rate = read_wav(tmp_path / "a.wav")
    assert rate == 16000
    assert float((found - samples).abs().max()) <= 1 / 65536 + 1e-6


@pytest.mark.parametrize(
    ("channels", "width", "rate", "message"),
    [
        (2, 2, 8000, "got 2 channels"),
        (1, 1, 8000, "8 bits"),
        (1, 2, 44100, "rate 44100"),
    ],
)
def test_another_form_is_refused(
    tmp_path: Path, channels: int, width: int, rate: int, message: str
) -> None:
    """By the file's name, with what was expected."""
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(bytes(400))
    with pytest.raises(DataError, match=message) as caught:
        read_wav(tmp_path / "a.wav")
    assert "a.wav must have 1 channel, 16 bits" in str(caught.value)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    """Missing, not sound at all, cut short, empty."""
    path = tmp_path / "a.wav"
    with pytest.raises(DataError, match="can be read"):
        read_wav(path)
    path.write_bytes(b"<html>no sound</html>")
    with pytest.raises(DataError, match="can be read"):
        read_wav(path)
    write_wav(path, tone(300.0, rate=8000), rate=8000)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="must hold 8000 samples, got 7950"):
        read_wav(path)
    write_wav(path, torch.zeros(0), rate=8000)
    with pytest.raises(DataError, match="must hold some samples, got 0"):
        read_wav(path)
