"""Masking: what the patterns are for is found, each text by itself, and the report only counts."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import ConfigurationError, DataError
from shared.preprocessing.text_masking import (
    PATTERNS,
    SETTINGS_FILE,
    Masking,
    MaskingReport,
    site_masking,
)

EXAMPLES = [
    ("mail ann.b+c@mail.example.org now", "mail <email> now"),
    ("see https://a.example/x?y=1 or www.b.example", "see <url> or <url>"),
    ("IBAN DE89 3704 0044 0532 0130 00.", "IBAN <iban>."),
    ("GB82WEST12345698765432", "<iban>"),
    ("born 1970-01-31, or 31.1.1970, or 1/31/70", "born <date>, or <date>, or <date>"),
    ("call +49 (30) 901820 or 030-90182-0", "call <phone> or <phone>"),
    ("tel:+14155550132", "tel:<phone>"),
    (
        "3 of 12 at 10:45, 1,200 pieces, version 2.13",
        "3 of 12 at 10:45, 1,200 pieces, version 2.13",
    ),
]


def masked(text: str) -> str:
    """`text` after the built-in patterns."""
    return Masking().apply([text])[0][0]


@pytest.mark.parametrize(("text", "expected"), EXAMPLES)
def test_what_looks_like_an_identifier_is_masked(text: str, expected: str) -> None:
    """And other numbers stay."""
    assert masked(text) == expected


@given(st.lists(st.sampled_from([text for text, _ in EXAMPLES]) | st.text(max_size=30), max_size=6))
def test_each_text_is_masked_by_itself(texts: list[str]) -> None:
    """One record in, one out, whatever stands beside it; the counts are those of each, summed."""
    found, report = Masking().apply(texts)
    alone = [Masking().apply([text]) for text in texts]
    assert found == [masked for (masked,), _ in alone]
    assert report.texts == len(texts)
    assert report.changed == sum(one.changed for _, one in alone)
    assert report.found == {name: sum(one.found[name] for _, one in alone) for name in PATTERNS}


@given(st.text(max_size=40))
def test_nothing_that_the_patterns_find_is_left(text: str) -> None:
    """Masking twice finds nothing more."""
    again, report = Masking().apply([masked(text)])
    assert again == [masked(text)]
    assert report.changed == 0


def test_the_report_holds_counts_and_no_text() -> None:
    """It is written to a log."""
    _, report = Masking().apply(["a@b.example and c@d.example", "nothing", "1.2.2003"])
    assert str(report) == "masked in 2 of 3 texts: email 2, url 0, iban 0, date 1, phone 0"
    assert "example" not in repr(report)
    assert str(MaskingReport(texts=0, changed=0, found={})).endswith("no pattern")


def test_a_site_adds_patterns_and_leaves_some_out(tmp_path: Path) -> None:
    """By a file in its own folder; its own come first, also in place of a built-in one."""
    assert site_masking(tmp_path).names == tuple(PATTERNS)
    (tmp_path / SETTINGS_FILE).write_text(
        'off = ["date", "url"]\n[patterns]\ncase = "K-[0-9]+"\nphone = "[0-9]{3}"\n'
    )
    masking = site_masking(tmp_path)
    assert masking.names == ("case", "phone", "email", "iban")
    assert masking.apply(["K-17 on 1.2.2003, dial 110"])[0] == [
        "<case> on 1.2.<phone>3, dial <phone>"
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("on = []", "got off = .* and .'on'"),
        ('off = ["name"]', "got off = .'name'"),
        ("off = 3", "got off = 3"),
        ("patterns = 3", "and int"),
        ('[patterns]\nA = "x"', "got str under 'A'"),
        ("[patterns]\na = 1", "got int under 'a'"),
        ('[patterns]\na = "("', "pattern 'a' must be a regular expression"),
        ('[patterns]\na = "x*"', "must not match the empty text"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, settings: str, message: str) -> None:
    """A site that meant to mask something must not train without."""
    (tmp_path / SETTINGS_FILE).write_text(settings)
    with pytest.raises(ConfigurationError, match=message):
        site_masking(tmp_path)


def test_settings_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    """Never taken for none."""
    (tmp_path / SETTINGS_FILE).write_bytes(b"off = \xff")
    with pytest.raises(DataError, match="expected TOML"):
        site_masking(tmp_path)
