"""Layers of settings and where each value came from."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from murmura.settings import (
    default_settings,
    layered,
    parse_assignment,
    read_file,
    settings_of_run,
)
from shared.config import RunConfig, defaults
from shared.errors import ConfigurationError, StateError


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """A file that sets three keys."""
    path = tmp_path / "run.toml"
    path.write_text('rounds = 5\nseed = 7\n[training]\nbatch_size = 32\noptimizer = "adam"\n')
    return path


def test_a_later_layer_wins_and_every_value_knows_its_origin(toml: Path) -> None:
    """Defaults < file < -c < named flag."""
    settings = layered(toml, ["rounds=6", "training.batch_size=64"], {"rounds": ("--rounds", 9)})
    assert settings.config().rounds == 9
    assert settings.config().training.batch_size == 64
    assert settings.config().training.optimizer == "adam"
    origins = json.loads(str(settings.raw()["output.origins"]))
    assert origins["rounds"] == "--rounds"
    assert origins["training.batch_size"] == "-c"
    assert origins["seed"] == f"file {toml}"
    assert origins["server.tau"] == "default"


def test_the_defaults_are_those_of_the_configuration() -> None:
    """No second set of defaults."""
    raw = default_settings().raw()
    assert {**raw, "output.origins": "{}"} == defaults()


def test_the_last_of_two_assignments_counts() -> None:
    """As in every shell."""
    assert layered(None, ["rounds=1", "rounds=2"], {})["rounds"] == 2


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("model=cnn", "model", "cnn"),
        ('model="cnn"', "model", "cnn"),
        ("model=", "model", ""),
        ("rounds=12", "rounds", 12),
        ("seed=os", "seed", "os"),
        ("seed=3", "seed", 3),
        ("privacy.delta=1e-6", "privacy.delta", 1e-6),
        ("privacy.delta=.5", "privacy.delta", 0.5),
        ("output.tensorboard=false", "output.tensorboard", False),
        ("output.run_id=2024", "output.run_id", "2024"),
        ("data.dir=/a=b c", "data.dir", "/a=b c"),
        (" rounds = 3", "rounds", 3),
    ],
)
def test_an_assignment_is_a_toml_scalar_or_a_bare_word(
    text: str, key: str, value: str | float | bool
) -> None:
    """Numbers and truth values by TOML; text needs no quotes."""
    parsed = parse_assignment(text)
    assert parsed == (key, value)
    assert type(parsed[1]) is type(value)


@given(st.text(max_size=20))
def test_any_text_after_the_equals_sign_is_a_value_or_a_clear_refusal(text: str) -> None:
    """Nothing in it can set a second key, and no foreign error escapes."""
    try:
        key, value = parse_assignment(f"model={text}")
    except ConfigurationError:
        return
    assert key == "model"
    assert isinstance(value, str)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rounds", "-c expects KEY=VALUE, got 'rounds'"),
        ("rounds=[1, 2]", r"rounds must be one text, number or truth value, got \[1, 2\]"),
        ("round=3", "unknown configuration key 'round' .from -c.; did you mean rounds"),
        (
            "learning_rate=3",
            "did you mean training.learning_rate or server.learning_rate",
        ),
        ("privacy.epsilon=3", "did you mean privacy.epsilon_budget"),
        ("x.batchsize=3", "did you mean training.batch_size"),
        ("zzzz=1", "see murmura simulate --list-keys"),
        ("output.origins=1", "unknown configuration key 'output.origins'"),
    ],
)
def test_a_wrong_assignment_is_refused_with_the_nearest_key(text: str, message: str) -> None:
    """The message names the place and what was probably meant."""
    with pytest.raises(ConfigurationError, match=message):
        parse_assignment(text)


def test_a_wrong_value_is_refused_with_where_it_came_from(toml: Path) -> None:
    """Type and domain alike."""
    with pytest.raises(ConfigurationError, match=r"rounds must be positive.*\(from --rounds\)"):
        layered(toml, [], {"rounds": ("--rounds", 0)}).config()
    with pytest.raises(ConfigurationError, match=r"rounds must be of type int.*\(from -c\)"):
        layered(None, ["rounds=many"], {}).config()


def test_a_contradiction_between_defaults_and_settings_is_refused_as_it_is() -> None:
    """No single key can be blamed, so none is."""
    with pytest.raises(ConfigurationError, match=r"exactly one of training.steps .*got 0 and 0$"):
        layered(None, ["training.steps=0"], {}).config()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"rounds = ", "is no valid TOML"),
        (b"\xff\xfe", "is no valid TOML"),
        (b"rounds = [1]", "rounds must be one text, number or truth value"),
        (b"rounds = 2024-01-01", "rounds must be one text"),
        (b"[training]\nlr = 1", r"'training.lr' \(from file"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    """Not TOML, no scalar, an unknown key."""
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=message):
        layered(path, [], {})


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    """And not taken for an empty one."""
    with pytest.raises(ConfigurationError, match=r"cannot read the settings file .*gone.toml"):
        read_file(tmp_path / "gone.toml")


def saved_run(folder: Path, **changes: object) -> Path:
    """A run folder with the settings `rounds = 9 (--rounds)`."""
    folder.mkdir()
    entry = {"rounds": {"value": 9, "origin": "--rounds"}} | changes
    (folder / "config.json").write_text(json.dumps(entry))
    return folder


def test_a_resumed_run_has_its_own_settings_and_origins(tmp_path: Path) -> None:
    """Only the folder, its name and `resume` are new."""
    folder = saved_run(
        tmp_path / "mine",
        **{
            "output.origins": {"value": "{}", "origin": "default"},
            "output.dir": {"value": "elsewhere", "origin": "--out"},
        },
    )
    settings = settings_of_run(folder)
    assert settings.values["rounds"].origin == "--rounds"
    config = settings.config()
    assert config.rounds == 9
    assert Path(config.output.dir) / config.output.run_id == folder
    assert config.output.resume is True


def test_every_setting_survives_being_saved_and_resumed(tmp_path: Path, toml: Path) -> None:
    """What the run folder holds is what was run."""
    first = layered(toml, ["privacy.unit=client"], {"task": ("--task", "digits")})
    entries = {key: {"value": s.value, "origin": s.origin} for key, s in first.values.items()}
    settings = settings_of_run(saved_run(tmp_path / "mine", **entries))
    kept = {key: s for key, s in settings.values.items() if not key.startswith("output.")}
    assert kept == {k: s for k, s in first.values.items() if not k.startswith("output.")}
    assert isinstance(settings.config(), RunConfig)


@pytest.mark.parametrize("content", ["", "[]", '{"rounds": 3}', '{"rounds": {"value": 3}}'])
def test_a_run_folder_with_corrupt_settings_is_refused(tmp_path: Path, content: str) -> None:
    """It is not resumed with defaults."""
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(StateError, match="is not the settings of a run"):
        settings_of_run(tmp_path)


def test_what_is_no_run_folder_cannot_be_resumed(tmp_path: Path) -> None:
    """The message says what was looked for."""
    with pytest.raises(StateError, match=r"is no run folder: cannot read .*config.json"):
        settings_of_run(tmp_path)
