"""Key words spoken by espeak-ng: synthetic voices, for demonstration and tests, not people.

Made once into a folder of this user's, the same files each time, one for each word, voice and
speed: `word/accent+variant_speed.wav`. Whoever wants to hear them may.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from shared.errors import ConfigurationError, DataError

# The ten commands of Warden 2018, "Speech Commands" (arXiv:1804.03209).
WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
ACCENTS = (
    "en-029", "en-gb", "en-gb-scotland", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-gb-x-rp",
    "en-us", "en-us-nyc",
)  # fmt: skip
VARIANTS = ("f1", "f2", "f3", "f4", "m1", "m2", "m3", "m5", "m7")
SPEEDS = (135, 165, 195)  # words a minute
_PROGRAM = "espeak-ng"
_LONGEST_S = 20.0  # that a word may take


def spoken_words(place: Path | None = None) -> Path:
    """The folder of all words, made where it is not there yet.

    Args:
        place: Where to keep it; None: the folder for temporary files.

    Raises:
        ConfigurationError: espeak-ng is not installed.
        DataError: it failed, or the folder belongs to somebody else.
    """
    described = repr((WORDS, ACCENTS, VARIANTS, SPEEDS)).encode()
    name = f"murmura-words-{os.getuid()}-{hashlib.sha256(described).hexdigest()[:12]}"
    folder = (place or Path(tempfile.gettempdir())) / name
    if not folder.exists():
        _make(folder)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        # Others may write to a folder for temporary files; their sounds are not ours.
        raise DataError(f"{folder} must be a folder of this user's own, got another's")
    return folder


def _make(folder: Path) -> None:
    program = shutil.which(_PROGRAM)
    if program is None:
        raise ConfigurationError(
            f"speech_commands has its words spoken by {_PROGRAM}, which must be installed, or "
            "data.dir must name a folder of WAV files (word/speaker.wav); got neither"
        )
    with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
        made = Path(beside) / "made"
        for word, voice, speed in _sayings():
            path = made / word / f"{voice}_{speed}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            _say(program, word, voice, speed, path)
        # Whole or not at all; another process may have been first.
        with suppress(OSError):
            made.rename(folder)


def _sayings() -> Iterator[tuple[str, str, int]]:
    for word in WORDS:
        for accent in ACCENTS:
            for variant in VARIANTS:
                for speed in SPEEDS:
                    yield word, f"{accent}+{variant}", speed


def _say(program: str, word: str, voice: str, speed: int, path: Path) -> None:
    command = [program, "-v", voice, "-s", str(speed), "-w", str(path), word]
    try:
        done = subprocess.run(  # noqa: S603 - words and voices are constants of this file
            command, capture_output=True, text=True, check=False, timeout=_LONGEST_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"{_PROGRAM} must speak {word!r}, got: {error}") from error
    if done.returncode or not path.exists():
        raise DataError(f"{_PROGRAM} must speak {word!r} as {voice}, got: {done.stderr.strip()}")
