"""`murmura audit-log`: what an operator or an auditor types."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP384R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from shared.audit_log import AuditLog
from tests.murmura.conftest import Command
from tests.shared.audit_logs import KEY, PUBLIC

PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A server's home with a log of two entries."""
    (tmp_path / "home/keys").mkdir(parents=True)
    (tmp_path / "home/keys/app.key").write_bytes(PEM)
    log = AuditLog(tmp_path / "home/audit.jsonl", KEY)
    log.append("invited", site="site-a", expires=1_900_000_000)
    log.append("refused", reason="token_unknown")
    return tmp_path / "home"


def test_a_log_is_verified_with_its_homes_key(
    murmura: Command, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a server, and of a site; home or file; what is not seen is said."""
    assert murmura("audit-log", "verify", home) == 0
    said = capsys.readouterr().out
    assert "intact: 2 entries" in said
    assert "cut off at the end are seen only with --head" in said
    (home / "keys/app.key").rename(home / "keys/identity.key")
    assert murmura("audit-log", "verify", home / "audit.jsonl", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["intact"], found["flaw"], found["head"]["n"]) == (True, None, 2)


def test_a_changed_log_is_refused_with_line_and_reason(
    murmura: Command, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 5, in words and as JSON; nothing of it is shown."""
    path = home / "audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b"token_unknown", b"token_expired"))
    assert murmura("audit-log", "verify", home) == 5
    assert "broken at line 2: changed" in capsys.readouterr().err
    assert murmura("audit-log", "verify", home, "--json") == 5
    found = json.loads(capsys.readouterr().out.splitlines()[0])
    assert (found["intact"], found["line"], found["flaw"]) == (False, 2, "changed")
    for verb in ("show", "head"):
        assert murmura("audit-log", verb, home) == 5
        assert capsys.readouterr().out == ""


def test_a_head_that_was_kept_finds_a_cut(
    murmura: Command, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a file or as number and hash; without it the shorter log is intact."""
    assert murmura("audit-log", "head", home, "--json") == 0
    (tmp_path / "kept").write_text(capsys.readouterr().out)
    assert murmura("audit-log", "head", home) == 0
    short = capsys.readouterr().out.strip()
    assert murmura("audit-log", "verify", home, "--head", tmp_path / "kept", "--head", short) == 0
    path = home / "audit.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert murmura("audit-log", "verify", home) == 0
    for head in (tmp_path / "kept", short):
        capsys.readouterr()
        assert murmura("audit-log", "verify", home, "--head", head) == 5
        assert "broken at line 2: truncated" in capsys.readouterr().err
    assert murmura("audit-log", "verify", home, "--head", "no head") == 5


def test_entries_are_shown_once_they_are_verified(
    murmura: Command, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All, or the last few; in words and as JSON."""
    assert murmura("audit-log", "show", home) == 0
    said = capsys.readouterr().out
    first, second, third, *rest = said.splitlines()
    assert first.startswith("1  ")
    assert first.endswith("  invited")
    assert [second, third] == ["   expires  1900000000", "   site     site-a"]
    assert "   reason  token_unknown" in rest
    assert rest[-1].startswith("2 entries, head")
    assert murmura("audit-log", "show", home, "--last", "1", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["n"] for entry in found["entries"]] == [2]
    assert found["head"]["hash"] == found["entries"][0]["hash"]


def test_what_an_entry_says_is_on_one_line_however_long(
    murmura: Command, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that a hash can be copied."""
    AuditLog(home / "audit.jsonl", KEY).append("approved", bundle=64 * "a", unsigned=True)
    assert murmura("audit-log", "show", home, "--last", "1") == 0
    said = capsys.readouterr().out
    assert f"   bundle    {64 * 'a'}\n" in said


def test_a_key_is_named_as_file_or_in_figures(
    murmura: Command, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PEM of either half, the bytes of a private one, or 64 digits; an auditor has no home."""
    log = tmp_path / "copy.jsonl"
    log.write_bytes((home / "audit.jsonl").read_bytes())
    public = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for number, content in enumerate((PEM, public, bytes(range(32)))):
        (tmp_path / f"key-{number}").write_bytes(content)
        assert murmura("audit-log", "verify", log, "--key", tmp_path / f"key-{number}") == 0
    assert murmura("audit-log", "verify", log, "--key", PUBLIC.public_bytes_raw().hex()) == 0
    assert murmura("audit-log", "verify", log) == 5
    assert "name it: --key" in capsys.readouterr().err


def test_another_key_or_none_is_refused(
    murmura: Command, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of another kind, of nobody, or not a key at all; what the file holds is not shown."""
    other = generate_private_key(SECP384R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    for content in (other, b"hunter2"):
        (tmp_path / "key").write_bytes(content)
        assert murmura("audit-log", "verify", home, "--key", tmp_path / "key") == 5
        assert "hunter2" not in capsys.readouterr().err
    assert murmura("audit-log", "verify", home, "--key", "00" * 32) == 5
    assert "foreign signature" in capsys.readouterr().err
