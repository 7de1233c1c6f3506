"""Three real processes die by SIGKILL in one run; `make faults` kills all of them, more often."""

from pathlib import Path

import pytest

from tests.integration.faults.processes import (
    guard_killed,
    outlived,
    service_killed,
    serving_killed,
)


@pytest.mark.integration
@pytest.mark.slow
def test_a_run_outlives_what_serves_it_a_guard_and_the_service(tmp_path: Path) -> None:
    """The same model, each release charged once; the run's process dies with the service."""
    outlived(tmp_path, 11, (serving_killed, guard_killed, service_killed))
