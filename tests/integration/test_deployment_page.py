"""docs/deployment.md: every command on the page does what it says, one after the other."""

import re
from pathlib import Path

import pytest

from server.home import ServerHome
from server.settings import Limits
from tests.integration.service import ROOT, joined, murmura
from tests.server.flower_run import activate

PAGE = (ROOT / "docs" / "deployment.md").read_text()
# A page's address is not this machine's; its ports may be in use.
HERE = ("--listen", "127.0.0.1", "--port", "0", "--internal-port", "0")


def commands() -> list[list[str]]:
    """What the page tells to type, in its order."""
    found = re.findall(r"murmura server ([a-z]+[^`#\n]*)", PAGE)
    return [line.split() for line in found if "NAME" not in line]


def test_the_page_names_every_command() -> None:
    """And no other."""
    from murmura.server import app

    verbs = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert set(re.findall(r"^\| `murmura server ([a-z]+)", PAGE, flags=re.MULTILINE)) == verbs
    assert {words[0] for words in commands()} <= verbs


def test_the_page_lists_every_limit_with_its_default() -> None:
    """As server.toml has them."""
    listed = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE, flags=re.MULTILINE))
    limits = Limits()
    assert {key: int(value) for key, value in listed.items()} == {
        key: getattr(limits, key) for key in Limits.__slots__
    }


def test_the_page_lists_every_refusal() -> None:
    """A site's software rests on them."""
    from server.refusals import STATUS

    (line,) = re.findall(r"A refusal is (.*?)\.\n", PAGE, flags=re.DOTALL)
    codes = re.findall(r"`([a-z_]+)`|\((\d+)\)", line)
    found: dict[str, int] = {}
    waiting: list[str] = []
    for code, status in codes:
        if code:
            waiting.append(code)
        else:
            found |= dict.fromkeys(waiting, int(status))
            waiting = []
    assert found == STATUS


@pytest.mark.integration
@pytest.mark.slow
def test_every_command_of_the_page_works(tmp_path: Path) -> None:
    """As it stands there, but for addresses and that a service in the foreground would block."""
    home = ServerHome(tmp_path / "home")
    played: list[list[str]] = []
    try:
        for words in commands():
            if words[0] == "init" and not home.root.exists():
                murmura(home, "init", "--name", "localhost", *words[1:], *HERE)
            elif words[0] == "start" and "start" not in {entry[0] for entry in played}:
                murmura(home, "start", "--detach")
            elif words[0] == "revoke":
                with joined(home, tmp_path) as site:
                    activate(site)
                murmura(home, *words)
            elif words[0] in {"invite", "renew"}:
                murmura(home, *words)
            played.append(words)
        assert {entry[0] for entry in played} >= {"init", "start", "invite", "renew", "revoke"}
        assert [site["state"] for site in murmura(home, "status")["sites"]] == ["revoked"]
        assert set(murmura(home, "logs")["logs"]) == {"serving", "superexec", "service"}
    finally:
        murmura(home, "stop")
