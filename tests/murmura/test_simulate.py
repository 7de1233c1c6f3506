"""Which settings a run gets."""

import json
import re
from pathlib import Path

import pytest

from murmura.simulate import choose_settings
from shared.config import RunConfig
from shared.errors import ConfigurationError
from tests.murmura.conftest import Command, PretendedFederation


@pytest.mark.parametrize(
    ("arguments", "key", "value", "origin"),
    [
        (["--task", "digits"], "task", "digits", "--task"),
        (["--model", "mlp"], "model", "mlp", "--model"),
        (["--rounds", "3"], "rounds", 3, "--rounds"),
        (["--seed", "7"], "seed", 7, "--seed"),
        (["--seed", "os"], "seed", "os", "--seed"),
        (["--device", "cpu"], "runtime.device", "cpu", "--device"),
        (["--data-dir", "d"], "data.dir", "d", "--data-dir"),
        (["--out", "o"], "output.dir", "o", "--out"),
        (["--run-id", "me"], "output.run_id", "me", "--run-id"),
        (["-c", "server.tau=0.1"], "server.tau", 0.1, "-c"),
        (["--set", "server.tau=0.1"], "server.tau", 0.1, "-c"),
        ([], "server.tau", 0.001, "default"),
    ],
)
def test_each_option_sets_its_key_and_leaves_its_name(
    murmura: Command,
    federation: PretendedFederation,
    arguments: list[str],
    key: str,
    value: object,
    origin: str,
) -> None:
    """The federation is told the value and where it came from."""
    assert murmura("simulate", "--quiet", *arguments) == 0
    assert federation.raw is not None
    assert federation.raw[key] == value
    assert json.loads(str(federation.raw["output.origins"]))[key] == origin


def test_a_run_without_a_name_gets_one_of_time_task_and_chance(
    murmura: Command, federation: PretendedFederation
) -> None:
    """Nothing in it needs quoting; its origin says that nobody chose it."""
    assert murmura("simulate", "--quiet", "--task", "my_task:MyTask") == 0
    assert federation.raw is not None
    name = str(federation.raw["output.run_id"])
    assert re.fullmatch(r"\d{8}-\d{6}-my_task-MyTask-[0-9a-f]{4}", name)
    origins = json.loads(str(federation.raw["output.origins"]))
    assert origins["output.run_id"] == "made by murmura"


def test_a_run_folder_that_exists_is_never_written_into(
    murmura: Command, federation: PretendedFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Unless it is resumed; the message says how."""
    Path("runs/mine").mkdir(parents=True)
    assert murmura("simulate", "--run-id", "mine") == 2
    assert "murmura simulate --resume runs/mine" in capsys.readouterr().err
    assert federation.raw is None


def saved_run() -> Path:
    """A run folder that can be resumed."""
    folder = Path("runs/mine")
    folder.mkdir(parents=True)
    saved = {"rounds": {"value": 9, "origin": "--rounds"}}
    (folder / "config.json").write_text(json.dumps(saved))
    return folder


def test_resume_reads_the_run_s_own_settings_back(
    murmura: Command, federation: PretendedFederation
) -> None:
    """Only that it is resumed is new."""
    folder = saved_run()
    assert murmura("simulate", "--quiet", "--resume", folder) == 0
    assert federation.raw is not None
    config = RunConfig.from_run_config(federation.raw)
    assert (config.rounds, config.output.resume) == (9, True)
    assert Path(config.output.dir) / config.output.run_id == folder.resolve()


@pytest.mark.parametrize(
    "others",
    [
        ["--rounds", "3"],
        ["-c", "rounds=3"],
        ["--config", "run.toml"],
        ["--seed", "1"],
        ["--out", "elsewhere"],
        ["--device", "cpu"],
        ["--task", "digits", "--model", "mlp"],
    ],
)
def test_resume_refuses_every_other_setting_by_name(
    murmura: Command,
    federation: PretendedFederation,
    capsys: pytest.CaptureFixture[str],
    others: list[str],
) -> None:
    """A run whose settings change half-way is not the run that was promised."""
    assert murmura("simulate", "--resume", saved_run(), *others) == 2
    err = capsys.readouterr().err
    assert "leave out" in err
    assert all(option in err for option in others if option.startswith("-"))
    assert federation.raw is None


def test_resuming_what_is_no_run_exits_with_5(
    murmura: Command, federation: PretendedFederation, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a matter of files."""
    assert murmura("simulate", "--resume", "nowhere") == 5
    assert "is no run folder" in capsys.readouterr().err
    assert federation.raw is None


def test_settings_are_checked_before_a_folder_is_looked_for() -> None:
    """A wrong value is told first."""
    with pytest.raises(ConfigurationError, match="rounds must be positive"):
        choose_settings(None, ["rounds=0"], {}, None)
