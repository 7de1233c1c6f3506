"""What a client keeps of a run is found again at the right round, and by nobody else."""

import stat
from pathlib import Path

import numpy as np
import pytest

from client.memory import LOCAL, Memory
from client.site import ThisSite
from shared.config import RunConfig
from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError, StateError
from shared.task import Site
from shared.vectors import FlatVector

CONFIG = RunConfig.from_run_config({"training.local_layers": "head"})
PLAN = PrivacyPlan.from_config(CONFIG)


def site(folder: Path | None, name: str = "a", server: str = "server") -> ThisSite:
    """With a place for what it keeps."""
    whole = Site(index=0, partition=None)
    return ThisSite(client_id=name, site=whole, data_dir=None, memory=folder, server=server)


def vector(*values: float) -> FlatVector:
    """Of these numbers."""
    return np.array(values, dtype=np.float32)


def test_a_round_asked_again_begins_where_it_began(tmp_path: Path) -> None:
    """The next one where the last attempt ended; its owner alone can read the file."""
    memory = Memory.of(site(tmp_path / "memory"), PLAN, "run")
    assert memory.before(1) == memory.latest() == {}
    memory.keep(1, {}, {LOCAL: vector(1)})
    assert memory.before(1) == {}
    assert memory.before(2)[LOCAL].tolist() == [1.0]
    memory.keep(2, memory.before(2), {LOCAL: vector(2)})
    memory.keep(2, memory.before(2), {LOCAL: vector(3)})
    assert memory.before(2)[LOCAL].tolist() == [1.0]
    assert memory.before(7)[LOCAL].tolist() == memory.latest()[LOCAL].tolist() == [3.0]
    with pytest.raises(StateError, match="expected round 2 or a later one, got round 1"):
        memory.before(1)
    assert stat.S_IMODE(memory.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(memory.path.parent.stat().st_mode) == 0o700


def test_no_other_run_plan_server_or_client_finds_it(tmp_path: Path) -> None:
    """Each has a file of its own."""
    other = PrivacyPlan.from_config(RunConfig.from_run_config({"training.local_layers": "body"}))
    found = [
        Memory.of(site(tmp_path), PLAN, "run"),
        Memory.of(site(tmp_path), PLAN, "another"),
        Memory.of(site(tmp_path), other, "run"),
        Memory.of(site(tmp_path, server="another"), PLAN, "run"),
        Memory.of(site(tmp_path, name="b"), PLAN, "run"),
    ]
    assert len({memory.path for memory in found}) == 5
    assert Memory.of(site(tmp_path), PLAN, "run") == found[0]


def test_a_node_without_a_place_for_it_takes_no_part() -> None:
    """It would begin each round from nothing, and nobody would know."""
    with pytest.raises(ConfigurationError, match=r"node config \(memory\), got none"):
        Memory.of(site(None), PLAN, "run")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """And a place that cannot be made."""
    memory = Memory.of(site(tmp_path), PLAN, "run")
    memory.keep(1, {}, {LOCAL: vector(1)})
    memory.path.write_bytes(memory.path.read_bytes()[:-1])
    with pytest.raises(StateError, match="as it was written"):
        memory.before(2)
    (tmp_path / "file").touch()
    with pytest.raises(StateError, match="cannot be made"):
        Memory.of(site(tmp_path / "file" / "in"), PLAN, "run").keep(1, {}, {})
