"""What a command writes for its user alone."""

from pathlib import Path

import pytest

from murmura.own_file import write_own
from shared.errors import StateError


def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Also where a file of that name was anybody's; a place that cannot be written is said."""
    path = tmp_path / "file"
    path.write_text("old and longer")
    path.chmod(0o644)
    write_own(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(StateError, match="cannot be written"):
        write_own(tmp_path, "new")
