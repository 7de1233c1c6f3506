"""Django's catalogues: read as gettext reads them, cut without a message on both sides."""

import gettext
import importlib.util
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import ConfigurationError, DataError
from shared.tasks import catalogues
from shared.tasks.catalogues import by_language, languages, messages, read_catalogue

GERMAN = catalogues._folder() / "conf" / "locale" / "de" / "LC_MESSAGES" / "django.mo"


def test_a_catalogue_is_read_as_gettext_reads_it() -> None:
    """Every original has the translation that the standard library gives."""
    with GERMAN.open("rb") as file:
        known = gettext.GNUTranslations(file)
    read = {original: forms for original, forms in read_catalogue(GERMAN) if len(forms) == 1}
    assert len(read) > 200
    by_context = [
        original for original, forms in read.items() if known.gettext(original) not in forms
    ]
    assert len(by_context) < 40  # months and such, whose translation depends on a context


def test_messages_of_a_language_are_clean_and_stand_once() -> None:
    """From the framework and its applications."""
    found = messages("de")
    assert len({message.text for message in found}) == len(found) > 800
    assert {"core", "admin", "auth"} < {message.catalogue for message in found}
    assert {message.language for message in found} == {"de"}
    assert len(languages()) > 90


def test_no_translation_of_what_is_measured_is_trained_on() -> None:
    """One of ten originals is held out in all languages."""
    training, held_out = by_language(("de", "fr"))
    originals = {
        message.text: message.original for lang in ("de", "fr") for message in messages(lang)
    }
    sides = [{originals[text] for text in side.texts} for side in (training, held_out)]
    assert not sides[0] & sides[1]
    assert 0.05 < len(held_out) / (len(held_out) + len(training)) < 0.2
    assert set(training.labels.tolist()) == set(held_out.labels.tolist()) == {0, 1}
    assert set(training.columns) == {"language", "catalogue"}


@pytest.mark.parametrize("language", ["xx", "../de", "*"])
def test_a_language_that_django_lacks_is_refused(language: str) -> None:
    """Also one that would name files."""
    with pytest.raises(ConfigurationError, match="a language that Django knows"):
        messages(language)


def test_without_django_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback of an import."""
    monkeypatch.setattr(catalogues, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match=r"\.\[text\]"):
        languages()
    assert importlib.util.find_spec("django") is not None


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda data: data[:10],
    "another magic": lambda data: b"\0" + data[1:],
    "a text past the end": lambda data: data[: len(data) // 2],
    "no UTF-8": lambda data: data[:-40] + b"\xff" * 40,
    "a count past the end": lambda data: data[:8] + struct.pack("<I", 1 << 30) + data[12:],
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_catalogue_is_refused(tmp_path: Path, name: str) -> None:
    """Never read in part."""
    path = tmp_path / "django.mo"
    path.write_bytes(DAMAGES[name](GERMAN.read_bytes()))
    with pytest.raises(DataError, match="catalogue of messages"):
        list(read_catalogue(path))
