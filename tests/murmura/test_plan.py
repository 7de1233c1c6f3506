"""`murmura plan` and `murmura epsilon`: the report's numbers, before there is a run."""

import json

import pytest

from shared.dp.claims import planned_claims
from tests.murmura.conftest import Command
from tests.server.toy import plan

CLIENT = ("plan", "--unit", "client", "--delta", "1e-6", "--population", "1000",
          "--cohort", "50", "--rounds", "20")  # fmt: skip
RECORD = ("plan", "--delta", "1e-5", "--rounds", "60", "--sample-rate", "0.3")


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """The JSON line on stdout."""
    content: dict[str, object] = json.loads(capsys.readouterr().out)
    return content


@pytest.mark.no_cover
def test_noise_is_found_for_a_target_and_never_overshoots_it(
    murmura: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """The noise it prints makes a run with that epsilon."""
    assert murmura(*CLIENT, "--target-epsilon", "2", "--json") == 0
    found = printed(capsys)
    run = plan(
        {
            "population.size": 1000,
            "cohort.sample_rate": 0.05,
            "rounds": 20,
            "privacy.delta": 1e-6,
            "privacy.noise_multiplier": float(str(found["noise_multiplier"])),
        }
    )
    assert found["epsilon"] == planned_claims(run)[-1].epsilon
    assert 1.95 < float(str(found["epsilon"])) <= 2.0
    assert (found["unit"], found["adjacency"], found["delta"]) == ("client", "zero_out", 1e-6)


@pytest.mark.no_cover
def test_a_person_sees_noise_curves_and_a_table(
    murmura: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """With unit, adjacency, observer and delta beside epsilon, and the settings to run it with."""
    assert murmura(*RECORD, "--noise-multiplier", "1.63") == 0
    out = capsys.readouterr().out
    for part in ("7.9279", "30.8475", "unit: one record", "add or remove one", "1e-05",
                 "against the server and all who see a model",
                 "over rounds", "over delta", "by noise and sample rate",
                 "training.sample_rate=0.3"):  # fmt: skip
        assert part in " ".join(out.split()), part


@pytest.mark.no_cover
def test_at_client_level_the_table_is_over_cohorts(
    murmura: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """25, 50, 100 and 200 of a thousand."""
    assert murmura(*CLIENT, "--noise-multiplier", "1.2") == 0
    out = capsys.readouterr().out
    assert "expected cohort" in out
    assert "zero out, against all who see a model but the server" in " ".join(out.split())
    [line] = [line for line in out.splitlines() if "-c rounds=" in line]
    assert "-c cohort.sample_rate=" in line  # on one line, to be copied
    assert "cohort.sample_rate=0.05" in " ".join(out.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "one of --target-epsilon and --noise-multiplier, got neither"),
        (("--target-epsilon", "1", "--noise-multiplier", "1"), "got both"),
        (("--target-epsilon", "-1"), "--target-epsilon must be positive"),
        (("--target-epsilon", "1", "--cohort", "5"), "--cohort saves no epsilon"),
        (("--target-epsilon", "1", "--unit", "client", "--delta", "0.2"), "below 1/population"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    murmura: Command, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    """Exit 2, and why."""
    base = [option for option in RECORD if "--sample-rate" not in option and option != "0.3"]
    assert murmura(*base, *options) == 2
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--sample-rate", "0.1"), "--sample-rate is of records"),
        (("--cohort", "2000"), "--cohort must be in"),
    ],
)
def test_a_cohort_that_cannot_be_is_refused(
    murmura: Command, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    """At client level."""
    base = [option for option in CLIENT if option not in {"--cohort", "50"}]
    assert murmura(*base, "--noise-multiplier", "1", *options) == 2
    assert said in " ".join(capsys.readouterr().err.split())


STEPS = ("epsilon", "--noise-multiplier", "1.0", "--delta", "1e-5")


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--sample-rate", "0.01", "--steps", "1000"), 1.8283),
        (("--steps", "10"), 17.8566),
        (("--steps", "10", "--adjacency", "replace-one"), 46.2113),
        (("--sample-rate", "0.01", "--steps", "1000", "--adjacency", "replace-one"), 2.8435),
    ],
)
def test_the_calculator_gives_the_reports_number(
    murmura: Command,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    expected: float,
) -> None:
    """Known answers; method and cross-check beside it."""
    assert murmura(*STEPS, *options, "--json") == 0
    found = printed(capsys)
    assert found["epsilon"] == expected
    assert found["agree"] is True


@pytest.mark.no_cover
def test_the_calculator_shows_method_and_cross_check(
    murmura: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people; where RDP is not known it says so."""
    assert murmura(*STEPS, "--sample-rate", "0.5") == 0
    assert "PLD" in (out := capsys.readouterr().out)
    assert "RDP" in out
    assert murmura(*STEPS, "--sample-rate", "0.5", "--adjacency", "replace-one") == 0
    assert "does not know" in capsys.readouterr().out


@pytest.mark.parametrize("options", [("--steps", "0"), ("--sample-rate", "2")])
def test_the_calculator_refuses_what_is_no_mechanism(
    murmura: Command, options: tuple[str, str]
) -> None:
    """Exit 2."""
    assert murmura(*STEPS, *options) == 2


@pytest.mark.no_cover
def test_distributed_noise_costs_more_and_the_settings_say_it(
    murmura: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same target asks for more noise; what is printed can be pasted behind simulate."""
    found = []
    for noise in ("whole", "distributed"):
        assert murmura(*RECORD, "--target-epsilon", "8", "--noise", noise, "--json") == 0
        content = printed(capsys)
        assert content["noise"] == noise
        found.append(float(str(content["noise_multiplier"])))
    assert found[1] > 1.05 * found[0]
    assert murmura(*RECORD, "--noise-multiplier", "1.75", "--noise", "distributed") == 0
    assert "-c privacy.noise=distributed" in " ".join(capsys.readouterr().out.split())


def test_it_plans_no_distributed_noise_that_no_run_would_take(murmura: Command) -> None:
    """Exit 2: several steps a round would each need a sum."""
    options = (*RECORD, "--noise-multiplier", "1.75", "--noise", "distributed", "--steps")
    assert murmura(*options, "2") == 2
    assert murmura(*options, "1", "--json") == 0
