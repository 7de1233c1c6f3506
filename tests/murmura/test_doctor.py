"""`murmura doctor`: which homes it looks at, what it prints, and its exit status."""

import json
from pathlib import Path

import pytest

from tests.client.authorities import TestAuthority
from tests.client.made_sites import made_home
from tests.murmura.conftest import Command

INIT = ("server", "init", "--name", "localhost", "--port", "0", "--internal-port", "0")


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a server's and a site's home may be."""
    monkeypatch.setenv("MURMURA_HOME", str(tmp_path / "server"))
    monkeypatch.setenv("MURMURA_CLIENT_HOME", str(tmp_path / "site"))
    return tmp_path


def test_it_says_what_is_wrong_and_what_to_do(
    murmura: Command, homes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a table and as JSON; exit 4, since a server that does not run fails."""
    assert murmura(*INIT) == 0
    capsys.readouterr()
    assert murmura("doctor") == 4
    shown = capsys.readouterr().out
    assert "murmura server start" in shown
    assert "1 of" in shown
    assert murmura("doctor", "--home", homes / "server", "--json") == 4
    found = json.loads(capsys.readouterr().out.splitlines()[0])
    assert found["failed"] == 1
    assert {"name", "level", "text", "advice"} == set(found["checks"][0])


def test_both_homes_are_looked_at_unless_one_is_named(
    murmura: Command, homes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a machine that is both."""
    assert murmura(*INIT) == 0
    made_home(homes / "site", TestAuthority.new())
    names = {}
    for options in ((), ("--server",), ("--client",)):
        capsys.readouterr()
        assert murmura("doctor", *options, "--json") == 4
        checks = json.loads(capsys.readouterr().out.splitlines()[0])["checks"]
        names[options] = {check["name"] for check in checks}
    assert names[()] == names["--server",] | names["--client",]
    assert "site.toml" not in names["--server",]
    assert "server.toml" not in names["--client",]


def test_without_a_home_it_says_how_to_make_one(
    murmura: Command,
    homes: Path,  # noqa: ARG001 - none is there
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit 5; and 2, where both are asked for."""
    assert murmura("doctor") == 5
    assert "murmura client join" in capsys.readouterr().err
    assert murmura("doctor", "--server", "--client") == 2
