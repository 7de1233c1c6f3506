"""A run says at its start how it sums under masks; with the numbers that its parties derive."""

import pytest

from server.secure_plan import described
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.secagg.encoding import update_encoding


def plan(**changes: Scalar) -> PrivacyPlan:
    """Of the default federation, but for what is changed."""
    return PrivacyPlan.from_config(
        RunConfig.from_run_config({key.replace("__", "."): changes[key] for key in changes})
    )


def test_without_masks_nothing_is_said() -> None:
    """Of a run whose server sees each update."""
    assert described(plan(), 1000) == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ["of 20", "all with all", "committee of 20", "sums of 18 or more", "units to 1"]),
        ({"population__size": 100}, ["of 100", "with 42 each", "committee of 31, 21 must answer"]),
        (
            {"aggregation__helpers": "site-000000,site-000001,site-000002"},
            ["masks with 3 helpers, all of whom must answer"],
        ),
    ],
)
def test_who_masks_and_who_undoes_it_is_said(changes: dict[str, Scalar], words: list[str]) -> None:
    """For the size that a cohort is expected to have."""
    text = described(plan(secure_aggregation="on", **changes), 1000)
    assert all(word in text for word in words)
    assert "noise share" not in text


def test_a_share_of_the_noise_is_said_with_scale_and_bits() -> None:
    """As the clients compute them."""
    found = plan(privacy__noise="distributed", privacy__noise_multiplier=2.0)
    encoding, text = update_encoding(found, 1000, 20), described(found, 1000)
    assert f"1,024 numbers of {encoding.bits} bits, {encoding.scale:,g} units to 1" in text
    assert f"variance {encoding.share_variance:,} squared" in text
    assert "any 16 carry" in text


def test_a_cohort_that_is_too_small_is_said() -> None:
    """Where the rate leaves so few that nobody would answer."""
    found = plan(
        secure_aggregation="on", privacy__unit="client", population__size=100,
        cohort__sample_rate=0.05,
    )  # fmt: skip
    assert "no cohort of the expected 5 can be summed" in described(found, 1000)
