"""Key words: whose recordings are whose, synthetic voices, and that it learns."""

import stat
from pathlib import Path

import pytest
import torch

from shared.errors import ConfigurationError, DataError
from shared.model_check import check_model
from shared.parameters import dimension
from shared.partition import PartitionSpec
from shared.task import Site, TaskSettings
from shared.tasks import spoken_words as spoken
from shared.tasks.speech_commands import SpeechCommands
from shared.tasks.spoken_words import WORDS, spoken_words
from tests.shared.tasks.sequence_learning import (
    assert_a_run_of_one_is_plain_training,
    learnt,
    scores,
)
from tests.shared.tasks.tones import tone, write_wav, write_words

WHOLE = Site(index=0, partition=None)


def task(folder: Path | None, *, model: str = "small", column: str = "") -> SpeechCommands:
    """The task over that folder."""
    return SpeechCommands(TaskSettings(model=model, data_dir=folder, data_column=column))


def an_espeak(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A stand-in for espeak-ng, the only program there is; it gets -v V -s S -w FILE WORD."""
    program = folder / "bin" / "espeak-ng"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr("shutil.which", lambda _name: str(program))


@pytest.fixture
def _few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ten words, two accents, four voices, one speed; a folder for temporary files."""
    monkeypatch.setattr(spoken, "ACCENTS", ("en-gb", "en-us"))
    monkeypatch.setattr(spoken, "VARIANTS", ("f1", "f2", "m1", "m2"))
    monkeypatch.setattr(spoken, "SPEEDS", (150,))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_a_folder_s_words_are_its_labels_and_speakers_its_sites(tmp_path: Path) -> None:
    """Each eighth speaker is held out; other words are not read."""
    write_words(tmp_path, [*WORDS[:3], "hello"])
    by_speaker = task(tmp_path, column="speaker")
    training, public = by_speaker.site_data(WHOLE), by_speaker.evaluation_data()
    assert training.inputs[0].shape == (3 * 14, 40, 100)
    assert by_speaker.axis_names() == ("band", "frame")
    assert torch.bincount(training.targets).tolist() == [14, 14, 14]
    assert torch.bincount(public.targets).tolist() == [2, 2, 2]
    spec = PartitionSpec(scheme="natural", clients=14)
    sites = [by_speaker.site_data(Site(index=index, partition=spec)) for index in range(14)]
    assert [sorted(site.targets.tolist()) for site in sites] == [[0, 1, 2]] * 14
    by_accent = task(tmp_path, column="accent").column()
    assert by_accent is not None
    assert sorted(set(by_accent.tolist())) == ["north", "south"]


def test_a_folder_without_words_is_refused(tmp_path: Path) -> None:
    """With the names that were expected; so is a damaged recording, by its own name."""
    with pytest.raises(DataError, match="yes, no, up"):
        task(tmp_path).pool()
    (tmp_path / "go").mkdir()
    (tmp_path / "go" / "anna_0.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match="anna_0"):
        task(tmp_path).pool()


@pytest.mark.parametrize(("model", "count"), [("small", 5_386), ("medium", 13_322)])
def test_models_have_the_stated_size_and_may_be_trained_at_each_unit(
    tmp_path: Path, model: str, count: int
) -> None:
    """Exactly; checked as the server checks them."""
    write_words(tmp_path, WORDS[:2])
    built = task(tmp_path, model=model)
    assert dimension(built.build_model()) == count
    for per_record in (True, False):
        check_model(
            built.build_model(), built.evaluation_data(), built.losses, per_record=per_record
        )


def test_a_federated_run_of_one_client_is_plain_training(tmp_path: Path) -> None:
    """At q = 1, without privacy."""
    write_words(tmp_path / "data", WORDS)
    assert_a_run_of_one_is_plain_training(
        "speech_commands", tmp_path / "data", tmp_path / "runs", {"training.learning_rate": 0.02}
    )


@pytest.mark.slow
def test_it_learns_words_of_speakers_it_never_heard(tmp_path: Path) -> None:
    """Nine of ten, where a guess is one of ten."""
    write_words(tmp_path, WORDS)
    built = task(tmp_path)
    model = learnt(built, built.site_data(WHOLE), steps=80)
    assert scores(built, model, built.evaluation_data())["accuracy"] > 0.9


@pytest.mark.usefixtures("_few")
def test_words_are_spoken_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each word by each voice; the second time no program is needed."""
    write_wav(tmp_path / "tone.wav", tone(400.0, rate=22050, seconds=0.5), rate=22050)
    an_espeak(
        tmp_path, monkeypatch, f'echo "$2 $4 $7" >> {tmp_path}/said; cp {tmp_path}/tone.wav "$6"'
    )
    examples = task(None, column="accent").site_data(WHOLE)
    assert len(examples) == 70
    said = (tmp_path / "said").read_text().splitlines()
    assert len(set(said)) == len(said) == 80
    assert "en-us+f2 150 left" in said
    monkeypatch.setattr("shutil.which", lambda _name: None)
    folder = spoken_words()
    assert len([*folder.rglob("*.wav")]) == 80
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [folder, tmp_path / "bin"]


@pytest.mark.usefixtures("_few")
def test_of_two_that_make_them_at_once_one_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the other made in the meantime stays."""
    monkeypatch.setattr(spoken, "WORDS", ("yes",))
    monkeypatch.setattr(spoken, "VARIANTS", ("f1",))
    an_espeak(tmp_path, monkeypatch, 'touch "$6"')
    folder = spoken_words()
    (folder / "kept").touch()
    spoken._make(folder)
    assert (folder / "kept").exists()


@pytest.mark.usefixtures("_few")
@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo no such voice >&2; exit 1", r"must speak 'yes' as en-gb\+f1, got: no such voice"),
        ("exit 0", "must speak 'yes' as"),
        ("exec sleep 5", "must speak 'yes', got"),
    ],
)
def test_a_program_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    """It says no, says nothing, or never ends."""
    monkeypatch.setattr(spoken, "_LONGEST_S", 0.2)
    an_espeak(tmp_path, monkeypatch, script)
    with pytest.raises(DataError, match=message):
        spoken_words()
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


@pytest.mark.usefixtures("_few")
def test_without_espeak_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or which folder to name."""
    monkeypatch.setattr("shutil.which", lambda _name: None)
    with pytest.raises(
        ConfigurationError, match=r"espeak-ng, which must be installed, or data\.dir"
    ):
        task(None).pool()


@pytest.mark.usefixtures("_few")
def test_a_folder_that_is_another_user_s_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may write to the folder for temporary files."""
    an_espeak(tmp_path, monkeypatch, 'touch "$6"')
    folder = spoken_words()
    moved = folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(moved)
    with pytest.raises(DataError, match="this user's own"):
        spoken_words()
