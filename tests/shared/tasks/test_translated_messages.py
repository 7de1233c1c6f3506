"""Catalogues: which messages are read, and which files are refused."""

from pathlib import Path

import pytest

from shared.errors import ConfigurationError, DataError
from shared.tasks import translated_messages
from shared.tasks.translated_messages import Pair, django_catalogues, read_pairs
from tests.shared.tasks.compiled import compiled, write_catalogue


def test_messages_with_one_translation_are_read_in_order(tmp_path: Path) -> None:
    """Without their contexts; none that is of several numbers, or not translated."""
    messages = {
        "Yes": "Ja",
        "verb\x04Open": "Öffnen",
        "apple\0apples": "Apfel\0Äpfel",
        "Later": "",
    }
    write_catalogue(tmp_path, "de", messages)
    write_catalogue(tmp_path, "fr", {"Yes": "Oui"}, application="bank")
    write_catalogue(tmp_path, "xx", {"Yes": "Xx"})
    assert read_pairs(tmp_path, ["de", "fr"]) == [
        Pair("Yes", "Oui", "fr", "bank fr"),
        Pair("Open", "Öffnen", "de", "shop de"),
        Pair("Yes", "Ja", "de", "shop de"),
    ]


def test_what_is_held_out_is_so_in_every_language() -> None:
    """A tenth, by the source alone."""
    sources = [f"message {number}" for number in range(1000)]
    german = [Pair(source, "ja", "de", "a de").public for source in sources]
    french = [Pair(source, "oui", "fr", "b fr").public for source in sources]
    assert german == french
    assert 60 < sum(german) < 140


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>", compiled({"Yes": "Ja"})[:-6], compiled({"Yes": "Ja"})[:40], b"\xff" * 60],
)
def test_a_damaged_catalogue_is_named(tmp_path: Path, content: bytes) -> None:
    """Empty, another file, cut short in its texts or its tables, rubbish."""
    write_catalogue(tmp_path, "de", {}).write_bytes(content)
    with pytest.raises(DataError, match=r"words\.mo must be a compiled catalogue"):
        read_pairs(tmp_path, ["de"])


def test_a_catalogue_that_is_not_in_its_own_encoding_is_named(tmp_path: Path) -> None:
    """A byte that UTF-8 does not know."""
    path = write_catalogue(tmp_path, "de", {"Yes": "Ja"})
    path.write_bytes(path.read_bytes().replace(b"Ja\0", b"\xff\xff\0"))
    with pytest.raises(DataError, match=r"words\.mo"):
        read_pairs(tmp_path, ["de"])


def test_without_django_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or which folder to name; with it, its folder."""
    assert (django_catalogues() / "conf" / "locale").is_dir()
    monkeypatch.setattr(translated_messages, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match=r"\.\[text\]"):
        django_catalogues()
