"""Named bytes in one file, which is whole or refused."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.kept import keep, kept
from shared.errors import StateError


@given(st.dictionaries(st.text(max_size=9).filter(str.isprintable), st.binary(max_size=99)))
def test_what_is_kept_is_found_again(
    tmp_path_factory: pytest.TempPathFactory, parts: dict[str, bytes]
) -> None:
    """Names, bytes, and their order."""
    path = tmp_path_factory.getbasetemp() / "kept"
    keep(path, parts)
    assert list(kept(path).items()) == list(parts.items())


def test_no_changed_byte_passes(tmp_path: Path) -> None:
    """Nor a byte less or more."""
    path = tmp_path / "kept"
    keep(path, {"a": b"secret", "b": b""})
    content = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    changed = [
        content[:n] + bytes([content[n] ^ 1]) + content[n + 1 :] for n in range(len(content))
    ]
    for other in (*changed, content[:-1], content + b"\0", b""):
        path.write_bytes(other)
        with pytest.raises(StateError, match="as it was written"):
            kept(path)


def test_no_file_is_nothing_and_no_file_at_all_is_an_error(tmp_path: Path) -> None:
    """A folder cannot be read."""
    assert kept(tmp_path / "nothing") == {}
    with pytest.raises(StateError, match="cannot be read"):
        kept(tmp_path)
