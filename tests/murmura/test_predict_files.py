"""`murmura predict` on people's own files: sounds, pictures with texts, rows of a table, texts.

Each with a model that a real run trained, in seconds.
"""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shared.preprocessing.text_masking import SETTINGS_FILE
from shared.tasks.spoken_words import WORDS
from tests.murmura.conftest import Command
from tests.shared.preprocessing.pipelines import made_folder
from tests.shared.tasks.tones import tone, write_wav, write_words

Trained = Callable[..., Path]


@pytest.fixture
def trained(murmura: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """Trains for some rounds without privacy, in the current folder; gives the run folder."""
    monkeypatch.chdir(tmp_path)

    def run(task: str, *arguments: str, clients: int = 1, rounds: int = 1) -> Path:
        settings = (
            "privacy.unit=none", f"population.size={clients}", "runtime.device=cpu",
            "output.tensorboard=false", *arguments,
        )  # fmt: skip
        given = [part for setting in settings for part in ("-c", setting)]
        start = ("simulate", "--task", task, "--rounds", str(rounds), "--seed", "1", "--quiet")
        assert murmura(*start, *given, "--run-id", task) == 0
        return tmp_path / "runs" / task

    return run


def test_a_recording_is_told_by_its_word(
    murmura: Command, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At another rate than the training's; and espeak-ng is not needed to look at a model."""
    data = tmp_path / "data"
    write_words(data, WORDS)
    run = trained(
        "speech_commands", f"data.dir={data}", "population.examples_per_client=140",
        "training.batch_size=140", "training.steps=60", "training.optimizer=adam",
        "training.learning_rate=0.01",
    )  # fmt: skip
    for place in (3, 7):
        write_wav(
            tmp_path / f"{WORDS[place]}.wav", tone(200.0 * 1.4**place, rate=16000), rate=16000
        )
    files = [f"{WORDS[place]}.wav" for place in (3, 7)]
    capsys.readouterr()
    assert murmura("predict", run, *files, "--json") == 0
    told = json.loads(capsys.readouterr().out)["predictions"]
    assert [one["input"] for one in told] == files
    assert [one["predicted"][0]["value"] for one in told] == [WORDS[3], WORDS[7]]
    Path("broken.wav").write_bytes(b"RIFF")
    assert murmura("predict", run / "model.safetensors", "broken.wav") == 5
    assert "broken.wav must be a WAV file" in capsys.readouterr().err
    write_wav(tmp_path / "fast.wav", tone(400.0, rate=44100), rate=44100)
    assert murmura("predict", run, "fast.wav") == 5
    assert "one of the rates" in capsys.readouterr().err


def test_pictures_with_captions_are_right_or_wrong(
    murmura: Command, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a table, a folder, one picture; a word that there is not is named."""
    from PIL import Image

    run = trained("image_text", "population.examples_per_client=20", "training.batch_size=10")
    Path("pairs").mkdir()
    for name in ("a", "b"):
        Image.new("L", (28, 28), 90).save(f"pairs/{name}.png")
        Path(f"pairs/{name}.txt").write_text("a grey compact bag.")
    Path("pairs.csv").write_text("image,text\npairs/a.png,a grey compact bag\n")
    capsys.readouterr()
    assert murmura("predict", run, "pairs.csv", "pairs", "pairs/a.png", "--json") == 0
    told = json.loads(capsys.readouterr().out)["predictions"]
    names = ["pairs.csv", "pairs:a.png", "pairs:b.png", "pairs/a.png"]
    assert [one["input"] for one in told] == names
    assert {guess["value"] for guess in told[0]["predicted"]} == {"right", "wrong"}
    assert told[0]["predicted"] == told[3]["predicted"]
    Path("pairs/a.txt").write_text("a cat")
    assert murmura("predict", run, "pairs") == 5
    assert "a.png: expected words of" in capsys.readouterr().err


def test_raw_rows_go_through_the_declared_steps(
    murmura: Command, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row that a rule leaves out keeps its place; the model alone needs `--data`."""
    folder = made_folder(tmp_path / "site")
    run = trained(
        "tabular", f"data.dir={folder}", "population.examples_per_client=2",
        "training.batch_size=2", "training.steps=30", "training.learning_rate=1.0",
    )  # fmt: skip
    rows = "37,10115\nNA,10115\n95,20095\n"
    Path("raw.csv").write_text("age,post\n" + rows)
    capsys.readouterr()
    assert murmura("predict", run, "raw.csv", "--out", "out.csv") == 0
    assert "raw.csv:2  left out by the task's rules" in capsys.readouterr().out
    with Path("out.csv").open(encoding="utf-8") as file:
        told = [(row["input"], row["predicted_1"] or "") for row in csv.DictReader(file)]
    assert told == [("raw.csv:1", "no"), ("raw.csv:2", ""), ("raw.csv:3", "yes")]
    alone = ("predict", run / "model.safetensors", "raw.csv")
    assert murmura(*alone, "--data", folder, "--json") == 0
    found = json.loads(capsys.readouterr().out)["predictions"]
    assert [one["predicted"][:1] for one in found][1] == []
    assert murmura(*alone) == 5  # of the package's table: another model
    assert "expected the tensors of the task's model" in capsys.readouterr().err
    Path("raw.csv").write_text("age\n37\n")
    assert murmura("predict", run, "raw.csv") == 5
    assert (
        "raw.csv must have the columns ['age', 'post'], got none named ['post']"
        in capsys.readouterr().err
    )


def test_texts_are_masked_as_the_site_s_were(
    murmura: Command, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two addresses are one text to the model."""
    folder = tmp_path / "site"
    folder.mkdir()
    for name in ("train.csv", "test.csv"):
        rows = "write to a@b.org now,ham\nbuy cheap things here,spam\n"
        (folder / name).write_text("text,label\n" + rows)
    (folder / SETTINGS_FILE).write_text('off = ["date"]\n')
    run = trained(
        "language_id", f"data.dir={folder}", "text.labels=ham,spam", "model=mean",
        "population.examples_per_client=2", "training.batch_size=2",
    )  # fmt: skip
    Path("x.txt").write_text("write to ada@mail.example.org now\nwrite to q@r.net now\n")
    capsys.readouterr()
    assert murmura("predict", run, "x.txt", "--json") == 0
    one, other = json.loads(capsys.readouterr().out)["predictions"]
    assert one["predicted"] == other["predicted"]
    assert {guess["value"] for guess in one["predicted"]} == {"ham", "spam"}


def test_a_language_model_goes_on_and_a_detector_names_what_it_sees(
    murmura: Command, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each that is not empty; a file that is no text is named."""
    data = tmp_path / "texts"
    data.mkdir()
    (data / "a.txt").write_text("who is it? it is nobody. " * 400)
    run = trained(
        "language_model", f"data.dir={data}", "model=tiny", "population.examples_per_client=8",
        "training.batch_size=8",
    )  # fmt: skip
    Path("begin.txt").write_text("who is\n\nit is no\n")
    capsys.readouterr()
    assert murmura("predict", run, "begin.txt", "--json") == 0
    told = json.loads(capsys.readouterr().out)["predictions"]
    assert [one["input"] for one in told] == ["begin.txt:1", "begin.txt:3"]
    assert all(len(one["predicted"][0]["value"]) > 20 for one in told)
    Path("begin.txt").write_bytes(b"\xff\xfe")
    assert murmura("predict", run, "begin.txt") == 5
    assert "expected UTF-8 text in begin.txt" in capsys.readouterr().err
    run = trained("detection", "population.examples_per_client=8", "training.batch_size=8")
    np.save("scene.npy", np.zeros((1, 64, 64), dtype=np.float32))
    capsys.readouterr()
    assert murmura("predict", run, "scene.npy", "--json") == 0
    told = json.loads(capsys.readouterr().out)["predictions"]
    assert isinstance(told[0]["predicted"][0]["value"], str)
