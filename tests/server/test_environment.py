"""What a run ran on is written down; code has one digest."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

from server import environment as module
from server.environment import code_digest, environment, git_commit, software
from shared.runtime_sections import RuntimeConfig


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small tree that is taken for the code."""
    for package in ("client", "server", "shared"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "a.py").write_text(package)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return tmp_path


def test_the_digest_changes_with_every_change_of_code(copied: Path) -> None:
    """Content, names and additions; nothing else."""
    digests = {code_digest()}
    (copied / "shared" / "a.py").write_text("changed")
    digests.add(code_digest())
    (copied / "shared" / "a.py").rename(copied / "shared" / "b.py")
    digests.add(code_digest())
    (copied / "server" / "deep").mkdir()
    (copied / "server" / "deep" / "new.py").write_text("")
    digests.add(code_digest())
    assert len(digests) == 4
    (copied / "server" / "notes.md").write_text("no code")
    (copied / "other.py").write_text("not ours")
    assert code_digest() in digests


def test_an_installed_copy_has_the_digest_of_its_checkout(
    copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only relative paths enter it."""
    before = code_digest()
    moved = tmp_path / "elsewhere"
    for package in ("client", "server", "shared"):
        shutil.copytree(copied / package, moved / package)
    monkeypatch.setattr(module, "ROOT", moved)
    assert code_digest() == before


def test_the_environment_is_json_with_versions_machine_and_code() -> None:
    """Everything a reader needs to run it again."""
    found = environment(RuntimeConfig(device="cpu"))
    assert json.loads(json.dumps(found)) == found
    assert found["device"] == "cpu"
    assert found["code_digest"] == code_digest()
    assert {"python", "torch", "flwr", "opacus", "dp-accounting"} <= found["software"].keys()


def test_a_package_that_is_missing_is_named_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app bundle on a node has no package murmura."""
    monkeypatch.setattr(module, "_PACKAGES", ("no-such-package",))
    assert software()["no-such-package"] == "not installed"


@pytest.mark.parametrize(
    "error", [FileNotFoundError("git"), subprocess.CalledProcessError(128, "git")]
)
def test_without_a_repository_the_commit_is_unknown(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No git, or no checkout."""

    def run(*arguments: object, **named: object) -> NoReturn:
        del arguments, named
        raise error

    monkeypatch.setattr("subprocess.run", run)
    assert git_commit() == "unknown"


def test_the_commit_is_what_git_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its line end."""
    done = subprocess.CompletedProcess([], 0, stdout="abc123\n")
    monkeypatch.setattr("subprocess.run", lambda *arguments, **named: done)  # noqa: ARG005
    assert git_commit() == "abc123"
