"""A vector in a file is what it was in memory; what is missing of it is never made up."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from server.at_rest import AtRest, Opened, laid_down, room, whole
from shared.errors import StateError

NUMBERS = np.arange(300_000, dtype=np.float32)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(
    "part", [slice(None), slice(7, 9), slice(299_990, 400_000), slice(5, 5), slice(9, 5)]
)
def test_a_slice_is_that_of_the_vector(tmp_path: Path, kind: type, part: slice) -> None:
    """Longer than one read, beyond the end, and empty."""
    vector: NDArray[Any] = NUMBERS.astype(kind)
    resting = laid_down(vector, tmp_path)
    assert resting[part].dtype == kind
    assert resting[part].tobytes() == vector[part].tobytes()
    assert (len(resting), resting.shape) == (len(vector), vector.shape)


def test_what_is_laid_down_has_no_name(tmp_path: Path) -> None:
    """Nothing of it is left by a process that dies; a slice is the reader's own."""
    resting = laid_down(NUMBERS, tmp_path)
    assert list(tmp_path.iterdir()) == []
    resting[:3][0] = 9.0
    assert resting[:1].tolist() == [0.0]


def test_all_of_it_is_one_array() -> None:
    """One in memory is not copied."""
    assert whole(NUMBERS) is NUMBERS


def test_all_of_what_rests_comes_back(tmp_path: Path) -> None:
    """Another copy each time."""
    assert whole(laid_down(NUMBERS, tmp_path)).tobytes() == NUMBERS.tobytes()


def test_a_file_is_closed_with_the_last_who_reads_it(tmp_path: Path) -> None:
    """And not before."""
    path = tmp_path / "file"
    path.write_bytes(NUMBERS.tobytes())
    file = Opened.of(path)
    descriptor = file._descriptor
    parts = [AtRest(file, 4 * start, np.dtype("<f4"), 2) for start in (0, 5)]
    del file
    path.unlink()
    assert parts.pop(0)[:].tolist() == [0.0, 1.0]
    assert parts[0][:].tolist() == [5.0, 6.0]
    parts.clear()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)


def test_a_file_that_ends_too_soon_is_a_state_error(tmp_path: Path) -> None:
    """Never zeros in place of what is not there."""
    path = tmp_path / "file"
    path.write_bytes(NUMBERS.tobytes())
    resting = AtRest(Opened.of(path), 0, np.dtype("<f4"), len(NUMBERS))
    os.truncate(path, 10)
    assert resting[:2].tolist() == [0.0, 1.0]
    with pytest.raises(StateError, match="expected 1200000 bytes of a vector at rest, got 10"):
        whole(resting)


@pytest.mark.parametrize("kind", ["<f4", "<f8"])
def test_what_is_written_in_parts_is_read_as_a_whole(tmp_path: Path, kind: str) -> None:
    """In whatever order, with what is wider rounded as an array would; its blocks are its bytes."""
    values = np.random.default_rng(4).standard_normal(2**18 + 3)
    found = room(len(values), np.dtype(kind), tmp_path)
    for part in (slice(2**17, None), slice(0, 5), slice(5, 2**17)):
        found[part] = values[part]
    expected = values.astype(kind).tobytes()
    assert whole(found).tobytes() == expected
    assert b"".join(found.blocks()) == expected
    assert not list(tmp_path.iterdir())


def test_what_the_disk_refuses_is_a_state_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading, opening and writing alike."""
    resting = laid_down(NUMBERS, tmp_path)

    def broken(*_given: object) -> int:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(os, "preadv", broken)
    with pytest.raises(StateError, match="at rest cannot be read"):
        whole(resting)
    monkeypatch.setattr(os, "pwritev", broken)
    with pytest.raises(StateError, match="at rest cannot be written"):
        laid_down(NUMBERS, tmp_path)
    with pytest.raises(StateError, match="cannot be read"):
        Opened.of(tmp_path / "missing")
    with pytest.raises(StateError, match="cannot be written"):
        laid_down(NUMBERS, tmp_path / "missing")
