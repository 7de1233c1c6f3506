"""Settings of all tests: Hypothesis, one torch thread, the order, Flower's process identity.

Coverage doubles the time of Python, so a test that goes one way a thousand times is marked
`no_cover`, which pytest-cov knows: what it goes through, quicker tests beside it cover. What is
slow or a whole federation counts as marked, but not where every branch has to be covered.
"""

import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from shared.loading import loading

with loading():
    import torch
    from flwr.common.constant import SUPERLINK_NODE_ID
    from flwr.supercore.task_identity import TaskIdentity
    from hypothesis import HealthCheck, settings

    from tests.dealing import dealt
    from tests.migrated import migrated_once

gc.disable()  # until all that tests need is loaded: see `pytest_collection_finish`
# How long a draw takes is the machine's, and says nothing of what is tested.
_NO_HASTE = [HealthCheck.too_slow]
settings.register_profile(
    "ci", deadline=None, suppress_health_check=_NO_HASTE, derandomize=True, max_examples=200
)
settings.register_profile("deep", deadline=None, suppress_health_check=_NO_HASTE, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
torch.set_num_threads(1)

_WHOLE = Path(__file__).parent / "shared"


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """No file here has an example in a docstring (`test_architecture.py`): none is looked for."""
    found = yield
    return [collector for collector in found if type(collector) is pytest.Module]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Coverage is not measured in what takes long; with several processes that begins at once."""
    for item in items:
        long = item.get_closest_marker("slow") or item.get_closest_marker("integration")
        if long and _WHOLE not in item.path.parents:
            item.add_marker(pytest.mark.no_cover)
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes > 1:
        items[:] = dealt(items, processes)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What has been imported stays: looking through it again and again took a seventh of all time.

    Garbage of the tests themselves is still found, and sooner, for there is less to look at.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True, scope="session")
def _databases_are_migrated_once() -> Iterator[None]:
    """Of this process; servers that tests start as processes migrate their own."""
    with migrated_once():
        yield


@pytest.fixture(autouse=True)
def _as_a_server() -> Iterator[None]:
    """Every test starts as Flower's SuperLink: no test leans on what the one before it left."""
    TaskIdentity.task_id = TaskIdentity.run_id = 1
    TaskIdentity.node_id = SUPERLINK_NODE_ID
    yield
    for name in ("_task_id", "_run_id", "_node_id"):
        setattr(TaskIdentity, name, None)
