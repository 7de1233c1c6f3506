"""Language modelling over characters: what comes next in a text, by a small Transformer.

One example is a window of 64 characters; its loss is the mean over them. Windows do not overlap,
so that one character is in one example. The vocabulary is public: what ASCII prints, tab and end of
line, and one token for everything else. The texts are those of Debian's `fortunes`, or any folder
of text files (`*.txt`). Eight windows of a file that follow each other are a part; each tenth part
is held out for evaluation, by this rule and in published order.

`population.column`: `file` (all of one file is one client's) or `part`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.errors import DataError
from shared.task import Examples
from shared.tasks.shared_out import Pool, SharedOut
from shared.tasks.token_scores import shown, token_losses, token_metrics
from shared.tasks.transformer import DecoderOnly, Size

FORTUNES = Path("/usr/share/games/fortunes")
WINDOW = 64
UNKNOWN, BEGIN = 1, 2  # 0 is padding, which no window has
CHARACTERS = "\t\n" + "".join(map(chr, range(32, 127)))
VOCABULARY = 3 + len(CHARACTERS)
_PART = 8  # windows
_HELD_OUT = 10
_TOKENS = {character: 3 + place for place, character in enumerate(CHARACTERS)}


class LanguageModel(SharedOut):
    """The task; `tiny` has 6,564 parameters, `small` 19,172, `medium` 112,612."""

    models: ClassVar[Mapping[str, Callable[[], nn.Module]]] = {
        "small": lambda: DecoderOnly(VOCABULARY, Size(width=32, heads=2, layers=1)),
        "tiny": lambda: DecoderOnly(VOCABULARY, Size(width=16, heads=2, layers=1)),
        "medium": lambda: DecoderOnly(VOCABULARY, Size(width=64, heads=4, layers=2)),
    }

    def pool(self) -> Pool:
        """All windows of the folder, read once in a process."""
        return _read_pool(self.settings.data_dir or FORTUNES)

    def class_names(self) -> Sequence[str]:
        """Of the next character, as a person sees it."""
        return ("(padding)", "(other)", "(beginning)", *map(shown, CHARACTERS))

    def token_texts(self, tokens: Tensor) -> Sequence[str]:
        """Characters; blanks and ends of lines by a sign."""
        names = self.class_names()
        return ["" if token == 0 else names[int(token)] for token in tokens]

    def explained_place(self) -> int:
        """What comes after the window."""
        return -1

    def blank_token(self) -> int:
        """Any other character: padding, which the model never sees inside a text, would not do."""
        return UNKNOWN

    def answered(self, model: nn.Module, text: str) -> str:
        """What comes after `text`: the likeliest characters, as many as a window has."""
        return continued(model, text, WINDOW)[len(text) :]

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross entropy of each window's characters, shape (n,)."""
        return token_losses(outputs, targets)

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Share of characters that were foreseen, and bits for a character; shape (n,)."""
        return token_metrics(outputs, targets)


def encode(text: str) -> Tensor:
    """One token for each character, shape (len(text),), int64."""
    return torch.tensor([_TOKENS.get(character, UNKNOWN) for character in text], dtype=torch.int64)


def decode(tokens: Tensor) -> str:
    """The text of `tokens`, with U+FFFD for what the vocabulary does not know."""
    return "".join(CHARACTERS[t - 3] if t >= 3 else "\N{REPLACEMENT CHARACTER}" for t in tokens)


@torch.no_grad()
def continued(model: nn.Module, start: str, count: int) -> str:
    """`start` and the `count` likeliest characters after it, for people to look at."""
    tokens = torch.cat([torch.tensor([BEGIN]), encode(start)])
    for _ in range(count):
        scores = model(tokens[None, -WINDOW:])[0, -1]
        tokens = torch.cat([tokens, scores[UNKNOWN + 2 :].argmax()[None] + UNKNOWN + 2])
    return decode(tokens[1:])


def examples_of(windows: Tensor) -> Examples:
    """Each window, foreseen from what came before in it: a beginning and all but its last."""
    begin = torch.full((len(windows), 1), BEGIN)
    return Examples((torch.cat([begin, windows[:, :-1]], dim=1),), windows)


@lru_cache(maxsize=2)
def _read_pool(folder: Path) -> Pool:
    paths = _text_files(folder)
    texts = [_windows(path) for path in paths]
    windows = torch.cat([torch.zeros(0, WINDOW, dtype=torch.int64), *texts])
    if not len(windows):
        raise DataError(
            f"{folder} must hold text files (*.txt, or those of the package fortunes) of "
            f"{WINDOW} characters or more, got none"
        )
    lengths = [len(text) for text in texts]
    files = np.repeat(np.arange(len(paths)), lengths)
    parts = _parts(lengths)
    held_out = parts % _HELD_OUT == _HELD_OUT - 1
    examples = examples_of(windows)
    training, public = (
        examples.select(torch.from_numpy(np.flatnonzero(rows))) for rows in (~held_out, held_out)
    )
    columns = {"file": files[~held_out], "part": parts[~held_out]}
    return Pool(training, public, files[~held_out].astype(np.int64), columns)


def _parts(lengths: list[int]) -> NDArray[np.int64]:
    """Number of each window's part; a new file begins a new one."""
    found, following = [], 0
    for length in lengths:
        found.append(following + np.arange(length) // _PART)
        following += -(-length // _PART)
    return np.concatenate(found).astype(np.int64)


def _text_files(folder: Path) -> list[Path]:
    # A fortune file has an index beside it; names with .u8 are links to the same text.
    found = {*folder.rglob("*.txt")}
    found |= {index.with_suffix("") for index in folder.rglob("*.dat")}
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def _windows(path: Path) -> Tensor:
    """The file's windows, shape (n, WINDOW); what is left of it at the end is not used."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} must be a text in UTF-8 that can be read: {error}") from error
    if "\0" in text:
        raise DataError(f"{path} must be a text, got one with a zero byte")
    if path.with_name(f"{path.name}.dat").exists():
        text = text.replace("\n%\n", "\n")  # what stands between two fortunes
    tokens = encode(text)
    return tokens[: len(tokens) // WINDOW * WINDOW].view(-1, WINDOW)
