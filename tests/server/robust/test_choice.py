"""A rule is refused where it would break a guarantee, or where it means nothing."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from server.preparation import prepare
from server.robust.choice import Robust, robust_of
from server.robust.kept import Kept
from shared.config import RunConfig, Scalar
from shared.dp.plan import PrivacyPlan
from shared.errors import ConfigurationError, ProtocolError, TooFewSurvivors
from tests.server.fake_grid import vector
from tests.server.toy import config, settings

NEEDED = {
    "median": 2 * 3 + 1, "trimmed_mean": 2 * 3 + 1, "krum": 2 * 3 + 3, "multi_krum": 2 * 3 + 3,
    "bulyan": 4 * 3 + 3, "centred_clipping": 2 * 3 + 1, "norm_bound": 2 * 3 + 1,
}  # fmt: skip
NONE: dict[str, Scalar] = {"privacy.unit": "none", "population.size": 20}


def chosen(changes: dict[str, Scalar]) -> Robust | None:
    """The rule of a run."""
    found = config(Path(), changes)
    return robust_of(found, PrivacyPlan.from_config(found))


def test_by_default_there_is_none() -> None:
    """The plain mean, at every level."""
    for unit in ("none", "record", "client"):
        assert chosen({"privacy.unit": unit}) is None


@pytest.mark.parametrize("rule", NEEDED)
def test_a_rule_needs_enough_clients_for_those_who_may_be_false(rule: str) -> None:
    """Three of n: as many as its paper asks for, and not one less."""
    wanted = NONE | {"server.aggregation": rule, "server.byzantine": 3.0}
    found = chosen(wanted | {"population.size": NEEDED[rule]})
    assert found is not None
    assert found.needs(3) == NEEDED[rule]
    with pytest.raises(ConfigurationError, match=f"needs at least {NEEDED[rule]} clients"):
        chosen(wanted | {"population.size": NEEDED[rule] - 1})


@pytest.mark.parametrize("change", [{"server.aggregation": "median"}, {"server.norm_bound": 1.0}])
def test_a_rule_is_refused_where_noise_is_calibrated_to_a_sum(change: dict[str, Scalar]) -> None:
    """At client level, fixed, adaptive or correlated; under masks there is a sum alone."""
    several: list[dict[str, Scalar]] = [
        {}, {"privacy.clipping": "adaptive"}, {"privacy.correlation": "tree"},
    ]  # fmt: skip
    for more in several:
        with pytest.raises(ConfigurationError, match="what one client changes in a sum"):
            chosen(change | more | {"population.size": 20})
    with pytest.raises(ConfigurationError, match="needs single updates"):
        chosen(NONE | {"secure_aggregation": "on"} | change)


def test_a_run_is_refused_before_its_folder_is_made(tmp_path: Path) -> None:
    """With what must hold before."""
    refused = config(tmp_path, {"server.aggregation": "median"})
    with pytest.raises(ConfigurationError, match=r"server\.aggregation"):
        prepare(refused, PrivacyPlan.from_config(refused))


def test_at_record_level_a_rule_is_allowed() -> None:
    """It sees what sites have noised."""
    found = chosen({"privacy.unit": "record", "population.size": 7, "server.aggregation": "median"})
    assert found == Robust("median", 0.2, 0.0, 3)


@pytest.mark.parametrize(
    ("byzantine", "asked", "false"),
    [(0.2, 10, 2), (0.2, 11, 3), (0.0, 10, 0), (0.3, 10, 3), (0.1, 30, 3), (0.25, 10, 3),
     (0.49, 3, 2), (4.0, 10, 4), (1.0, 3, 1)],
)  # fmt: skip
def test_a_share_is_rounded_up(byzantine: float, asked: int, false: int) -> None:
    """Never fewer than were asked for; a count is a count."""
    assert Robust("median", byzantine, 0.0, 3).tolerated(asked) == false


@pytest.mark.parametrize("value", [0.5, 0.7, 1.5, -0.1, float("inf"), float("nan")])
def test_half_or_a_fraction_of_a_client_is_no_number_of_them(value: float) -> None:
    """Nothing withstands half."""
    with pytest.raises(ConfigurationError, match=r"share below 0\.5"):
        RunConfig.from_run_config(settings(Path(), {"server.byzantine": value}))


def kept(count: int) -> Kept:
    """So many updates."""
    return Kept([vector(float(number)) for number in range(count)])


def test_a_round_with_too_few_answers_is_void() -> None:
    """f is a share of those asked: the false ones are among those who answer."""
    rule = Robust("krum", 0.2, 0.0, 3)
    assert rule.combine(kept(7), 10).shape == (1,)
    with pytest.raises(TooFewSurvivors, match="needs 7 updates where 2 of 10"):
        rule.combine(kept(6), 10)
    with pytest.raises(TooFewSurvivors):
        rule.combine(kept(0), 10)


def test_those_known_to_be_false_count_as_such_where_too_few_are_left() -> None:
    """Bulyan of 23 for 5: with five away, 18 are enough for three, and three may still be false."""
    rule = Robust("bulyan", 5.0, 0.0, 3)
    values = [0.0] * 15 + [100.0, 200.0, 300.0]
    updates = Kept([vector(value) for value in values])
    with pytest.raises(TooFewSurvivors, match="needs 23 updates where 5 of 23"):
        rule.combine(updates, 23)
    assert rule.combine(updates, 23, known=5)[0] == 0.0
    with pytest.raises(TooFewSurvivors, match="needs 19 updates where 4 of 23"):
        rule.combine(updates, 23, known=1)


def test_an_update_that_is_longer_than_the_bound_is_refused() -> None:
    """By every rule but those that cut it; the plain mean too."""
    long, short = vector(3.0, 4.0), vector(0.0, 4.9)
    for rule, bound in itertools.product(("mean", "median", "krum"), (5.0, 4.95)):
        robust = Robust(rule, 0.2, bound, 3)
        robust.check(short)
        if bound < 5.0:
            with pytest.raises(ProtocolError, match=r"no longer than 4\.95, got 5"):
                robust.check(long)
        else:
            robust.check(long)
    for rule in ("norm_bound", "centred_clipping"):
        Robust(rule, 0.2, 1.0, 3).check(long)
    Robust("mean", 0.2, 0.0, 3).check(np.full(3, 1e30, dtype=np.float32))


def test_a_bound_alone_goes_with_the_plain_mean() -> None:
    """Then one update is enough."""
    found = chosen(NONE | {"server.norm_bound": 2.0, "population.size": 1})
    assert found is not None
    assert (found.rule, found.needs(0)) == ("mean", 1)
