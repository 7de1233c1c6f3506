"""Which rating a user would give: item vectors are learnt by all, each user's own stays with him.

One example is one user: half of his ratings find his vector, anew in every forward pass and on the
machine that holds them; the other half says how good it is. The model that travels is of items.

Data: MovieLens (`movie_lens.py`), or a folder with `ratings.csv` (columns user, item, rating),
the public `items.csv` (item: the catalogue) and `scale.toml` (low, high), and at the server
`public.csv`, as ratings.csv, of users who agreed to that.

Source: Singhal et al. 2021, "Federated reconstruction" (arXiv:2102.03448), for vectors that stay;
the closed form and the gradient through it are ours.
"""

import math
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from shared.errors import ConfigurationError, DataError
from shared.preprocessing.declared import declared
from shared.preprocessing.table import Cells, read_table
from shared.task import Examples
from shared.tasks.factors import Factorisation, Neural
from shared.tasks.movie_lens import SCALE, movie_lens
from shared.tasks.pooled import Pooled
from shared.tasks.ratings import Rating, Scale, by_user, errors

_SCALE_FILE = "scale.toml"
_MISSING = frozenset({""})


class Recommendation(Pooled):
    """The task; models `factorisation` and `neural`. For privacy.unit = "client", a user's site."""

    models = ("factorisation", "neural")

    def build_model(self) -> nn.Module:
        """A vector for each item of the catalogue, and with `neural` a small network."""
        count = len(self._catalogue)
        return Factorisation(count) if self.model == "factorisation" else Neural(count)

    def training(self) -> Examples:
        """An example for each private user."""
        return self._training

    def evaluation_data(self) -> Examples:
        """An example for each public user."""
        folder = self.settings.data_dir
        ratings = movie_lens()[1] if folder is None else _read(folder / "public.csv")
        return by_user(ratings, self._catalogue, self.scale)

    def training_labels(self) -> Tensor:
        """0 for each user: no kind of user is known, so none is dealt out unevenly."""
        return torch.zeros(len(self.training()), dtype=torch.int64)

    def why_unexplained(self) -> str:
        """For `murmura explain`."""
        return (
            "a user is items with their ratings in two inputs, and an item without its rating "
            "means nothing, so no part can be blanked alone"
        )

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean square error of each user's other half, in scaled units, shape (n,)."""
        return errors(outputs, targets)

    def metrics(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Tensor]:
        """Root mean square error of each user, in the unit of the ratings, shape (n,)."""
        return {"rmse": errors(outputs, targets).sqrt() * self.scale.unit}

    @cached_property
    def scale(self) -> Scale:
        """Public ends of all ratings."""
        folder = self.settings.data_dir
        return SCALE if folder is None else _scale(folder / _SCALE_FILE)

    @cached_property
    def _catalogue(self) -> tuple[str, ...]:
        folder = self.settings.data_dir
        if folder is None:
            return movie_lens()[2]
        path = folder / "items.csv"
        items = [item for item in read_table(path, _MISSING).column("item") if item is not None]
        if not items or len(set(items)) != len(items):
            raise DataError(f"{path} must hold different items, got {len(items)}, some twice")
        return tuple(items)

    @cached_property
    def _training(self) -> Examples:
        folder = self.settings.data_dir
        ratings = movie_lens()[0] if folder is None else _read(folder / "ratings.csv")
        return by_user(ratings, self._catalogue, self.scale)


def _scale(path: Path) -> Scale:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"expected {path} with low and high, got no such file") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is no valid TOML: {error}") from error
    return declared(Scale, content, _SCALE_FILE)


def _read(path: Path) -> list[Rating]:
    table = read_table(path, _MISSING)
    columns: tuple[Cells, ...] = tuple(table.column(name) for name in ("user", "item", "rating"))
    found = []
    for user, item, rating in zip(*columns, strict=True):
        number = _number(rating)
        # Guarantee: a row that is none is left out, so that no row decides whether a site answers.
        if user is not None and item is not None and math.isfinite(number):
            found.append((user, item, number))
    return found


def _number(cell: str | None) -> float:
    try:
        return math.nan if cell is None else float(cell)
    except ValueError:
        return math.nan
