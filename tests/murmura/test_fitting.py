"""Distributed noise that nobody chose."""

import json

import pytest

from murmura.fitting import NOISE, ORIGIN, with_fitted_noise
from murmura.settings import layered
from shared.dp.claims import check_budget
from shared.dp.plan import PrivacyPlan
from shared.errors import BudgetExhausted
from tests.murmura.conftest import Command, PretendedFederation


@pytest.mark.parametrize("unit", ["record", "client"])
def test_the_default_run_with_distributed_noise_keeps_its_budget(unit: str) -> None:
    """The default multiplier is for whole noise and would not; the one found does, and says so."""
    asked = layered(None, ["privacy.noise=distributed", f"privacy.unit={unit}"], {})
    with pytest.raises(BudgetExhausted):
        check_budget(PrivacyPlan.from_config(asked.config()))
    fitted = with_fitted_noise(asked)
    check_budget(PrivacyPlan.from_config(fitted.config()))
    assert float(fitted[NOISE]) > float(asked[NOISE])
    assert json.loads(str(fitted.raw()["output.origins"]))[NOISE] == ORIGIN


@pytest.mark.parametrize(
    "assignments",
    [
        [],
        ["rounds=1000"],
        ["privacy.noise=distributed", "rounds=1"],
        ["privacy.noise=distributed", f"{NOISE}=1.0"],
    ],
)
def test_nothing_else_is_touched(assignments: list[str]) -> None:
    """Whole noise, a multiplier that suffices, and one that somebody chose."""
    asked = layered(None, assignments, {})
    assert with_fitted_noise(asked) is asked


def test_the_noise_that_was_found_is_told(
    murmura: Command, federation: PretendedFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr, and the federation is started with it."""
    assert murmura("simulate", "-c", "privacy.noise=distributed") == 0
    assert federation.raw is not None
    found = federation.raw[NOISE]
    assert f"{NOISE} = {found}, found to keep epsilon within 8.0" in capsys.readouterr().err


def test_quiet_says_nothing_of_it(
    murmura: Command, federation: PretendedFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """But it is in the settings."""
    assert murmura("simulate", "-c", "privacy.noise=distributed", "--quiet") == 0
    assert "found to keep" not in capsys.readouterr().err
    assert federation.raw is not None
    assert ORIGIN in str(federation.raw["output.origins"])
