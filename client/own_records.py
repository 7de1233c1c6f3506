"""The private records of this site, for its owner to look at; what comes of them stays here.

No noise is added and nothing is charged: whatever is computed from these records is as private as
they are. So no server and no run ever calls this; only the owner's own command line does.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from shared.errors import ConfigurationError, DataError
from shared.looking import Read, ReadsInputs, ReadsRecords
from shared.task import Examples, Site, Task

# Secrecy: shown with everything that is made from these records.
STAYS_HERE = (
    "made from private records, without noise and without a charge: for the owner of the records "
    "alone, it must not leave this site"
)


def own_records(task: Task) -> Examples:
    """All records of this site, as a run across machines would train on them.

    Raises:
        DataError: the folder holds none, or they are missing or corrupt.
    """
    records = task.site_data(Site(index=0, partition=None))
    if not len(records):
        raise DataError("expected records of this site, got none")
    return records


def own_inputs(task: Task, path: Path) -> Read:
    """Inputs of the model for every record of one file.

    `.npy` holds inputs as the model takes them, one or many; other files are the task's to read;
    a table of numbers (.csv) can be read for any task whose input is a row of numbers.

    Raises:
        DataError: the file is missing, damaged, or of another shape.
        ConfigurationError: the task reads no such file.
    """
    if path.suffix != ".npy" and isinstance(task, ReadsRecords):
        return task.read_records(path)
    inputs = _inputs(task, path)
    rows = range(len(inputs[0]))
    return Read(inputs, [str(row + 1) for row in rows], rows)


def _inputs(task: Task, path: Path) -> tuple[Tensor, ...]:
    if path.suffix == ".npy":
        return (_shaped(task, _array(path), path),)
    if isinstance(task, ReadsInputs):
        return task.read_inputs([path])
    if path.suffix == ".csv":
        return (_shaped(task, _table(path), path),)
    raise ConfigurationError(
        f"task {type(task).__name__} reads .npy and .csv files of numbers, got {path.name!r}"
    )


def _array(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    try:
        # Never a pickle: NumPy refuses arrays of objects unless it is told otherwise.
        found = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"expected an array of numbers in {path}, got none") from error
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "biuf":
        raise DataError(f"expected one array of numbers in {path}, got another thing")
    return found


def _table(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        titled = bool(lines) and not _numbers(lines[0])
        return np.loadtxt(lines[titled:], delimiter=",", dtype=np.float64, ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(f"expected a table of numbers in {path}, got none") from error


def _numbers(line: str) -> bool:
    try:
        return bool([float(cell) for cell in line.split(",")])
    except ValueError:
        return False


def _shaped(
    task: Task, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]], path: Path
) -> Tensor:
    """`array` as the task's only input, rows first."""
    public = task.evaluation_data().inputs
    if len(public) != 1:
        raise ConfigurationError(f"{path} holds one input, but the model takes {len(public)}")
    wanted = tuple(public[0].shape[1:])
    rows = array[None] if array.shape == wanted else array
    if rows.shape[1:] != wanted or not np.isfinite(rows).all():
        raise DataError(
            f"expected finite inputs of shape {wanted} in {path}, got {tuple(array.shape)}"
        )
    return torch.from_numpy(rows.astype(np.float64)).to(public[0].dtype)
