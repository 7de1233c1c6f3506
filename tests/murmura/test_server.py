"""`murmura server`: what each command makes, prints and refuses, and its exit status."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from murmura import detaching, log_tails, server_status
from server.home import ServerHome
from server.invitations import PREFIX, Invitations
from server.sites import Sites
from tests.murmura.conftest import Command
from tests.server.served import served
from tests.server.site_client import SiteKeys

INIT = ("server", "init", "--name", "fl.example.org", "--name", "192.0.2.7")
Told = Callable[..., Mapping[str, Any]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands look for their home."""
    monkeypatch.setenv("MURMURA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def told(
    murmura: Command,
    place: Path,  # noqa: ARG001 - the commands find it by the environment
    capsys: pytest.CaptureFixture[str],
) -> Told:
    """The object that a command prints with --json, where it succeeds."""

    def call(*arguments: str, status: int = 0) -> Mapping[str, Any]:
        assert murmura(*arguments, "--json") == status
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 1
        content: Mapping[str, Any] = json.loads(lines[0])
        return content

    return call


def test_init_makes_a_home_and_says_what(
    murmura: Command, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is asked; the fingerprint is there, and what comes next."""
    assert murmura(*INIT) == 0
    out = capsys.readouterr().out
    assert str(place) in out
    assert "fl.example.org, 192.0.2.7" in out
    from server.authority import Authority

    assert Authority.open(ServerHome(place)).fingerprint in out
    assert "murmura server start" in out
    ServerHome(place).check()


def test_init_refuses_to_overwrite(
    murmura: Command, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    """By status 5, in one line."""
    told(*INIT)
    assert murmura(*INIT) == 5
    assert "never overwritten" in capsys.readouterr().err


def test_init_takes_this_machines_name_where_none_is_given(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or localhost, where that is no name that a certificate can hold."""
    monkeypatch.setattr("socket.getfqdn", lambda: "Host.Example.ORG")
    assert told("server", "init")["names"] == ["host.example.org"]
    monkeypatch.setattr("socket.getfqdn", lambda: "a b")
    home = str(Path(os.environ["MURMURA_HOME"]).with_name("other"))
    assert told("server", "init", "--home", home)["names"] == ["localhost"]


def test_a_name_that_is_none_is_wrong_use(murmura: Command, place: Path) -> None:
    """And nothing is made."""
    assert murmura("server", "init", "--name", "not a name") == 2
    assert not place.exists()


def test_an_invitation_is_one_line_and_nothing_else(
    murmura: Command, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that it can be piped, and pasted."""
    told(*INIT)
    assert murmura("server", "invite", "site-a") == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert out.startswith(PREFIX)
    assert err == ""


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", "fl.example.org:8443"),
        ("192.0.2.7", "192.0.2.7:8443"),
        ("2001:db8::1", "[2001:db8::1]:8443"),
        ("[2001:db8::1]", "[2001:db8::1]:8443"),
        ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ("gate.example.org:443", "gate.example.org:443"),
    ],
)
def test_an_invitation_tells_where_to_go(told: Told, address: str, expected: str) -> None:
    """The first name, or the one that is given; behind a gate also another port."""
    told(*INIT)
    content = told("server", "invite", "site-a", "--address", address)
    assert content["address"] == expected
    assert content["line"].startswith(PREFIX)


@pytest.mark.parametrize(
    "address", ["gate.example.org:abc", "gate.example.org:65536", "a b", ":443", "[fl]:1", "a:"]
)
def test_an_address_that_is_none_is_in_no_invitation(told: Told, place: Path, address: str) -> None:
    """It is wrong use; nobody is invited."""
    told(*INIT)
    refused = told("server", "invite", "site-a", "--address", address, status=2)
    assert refused["kind"] == "configuration"
    assert Invitations(ServerHome(place)).all() == {}


def test_what_comes_next_is_of_the_home_that_was_given(
    murmura: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It can be typed as it stands."""
    home = tmp_path / "given"
    assert murmura(*INIT, "--home", home) == 0
    said = f"murmura server start --home {home}; murmura server invite NAME --home {home}\n"
    assert said in capsys.readouterr().out


def test_a_name_that_takes_part_is_not_invited_again(
    murmura: Command, told: Told, place: Path
) -> None:
    """Until it is revoked."""
    told(*INIT)
    from server.authority import Issued

    Sites(ServerHome(place)).add("site-a", "node", "id", Issued("", "1", 9e9, "k"))
    assert murmura("server", "invite", "site-a") == 2
    assert told("server", "revoke", "site-a") == {"name": "site-a", "serials": ["1"]}
    assert murmura("server", "invite", "site-a") == 0
    assert murmura("server", "revoke", "site-a") == 2
    assert murmura("server", "invite", "no name") == 2


def test_renew_keeps_the_names_and_takes_more(told: Told, place: Path) -> None:
    """The settings follow."""
    told(*INIT)
    content = told("server", "renew", "--name", "other.example.org")
    assert content["names"] == ["fl.example.org", "192.0.2.7", "other.example.org"]
    assert ServerHome(place).settings().names == tuple(content["names"])
    assert told("server", "renew")["serial"] != content["serial"]


def test_a_server_that_does_not_run_has_a_status_too(
    murmura: Command, told: Told, capsys: pytest.CaptureFixture[str]
) -> None:
    """By exit status 4; what is on disk is told."""
    told(*INIT)
    told("server", "invite", "site-a")
    content = told("server", "status", status=4)
    assert content["running"] is False
    assert [entry["name"] for entry in content["invited"]] == ["site-a"]
    assert murmura("server", "status") == 4
    out = capsys.readouterr().out
    assert "does not run" in out
    assert "site-a, until" in out
    assert told("server", "stop") == {"stopped": False}


def test_commands_without_a_home_say_how_to_make_one(
    murmura: Command, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of them."""
    for verb in (
        ("start",), ("start", "--detach"), ("invite", "a"), ("status",), ("logs",), ("renew",),
        ("revoke", "a"), ("stop",),
    ):  # fmt: skip
        assert murmura("server", *verb) == 5, verb
        assert "murmura server init" in capsys.readouterr().err
    assert not place.exists()


def test_the_status_of_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sites, their presence and certificates, and what was refused."""
    with served(tmp_path) as server, server.site(SiteKeys("site-a")) as site:
        from server.home import LISTENING
        from shared.durable import read_json
        from tests.server.flower_run import PlayedRun, activate

        activate(site)
        PlayedRun(server.serving._superlink)
        server.enrol(SiteKeys("site-b"))
        server.revoke("site-b")
        site.http.post(f"{server.base}/enrol", content=b"{")
        facts = read_json(server.home.state / LISTENING) | {"restarts": 0}
        monkeypatch.setattr(server_status, "facts_of", lambda _home: facts)
        content = server_status.status_content(server.home)
        lines = "\n".join(server_status.status_lines(content))
    assert content["running"]
    assert set(content["health"].values()) == {"ok"}
    assert len(content["health"]) == 2
    assert "site-a: online, certificate until" in lines
    assert "site-b: revoked" in lines
    assert "running" in lines
    assert "request_invalid 1" in lines
    assert capsys.readouterr().err is not None


def test_start_tells_fingerprint_addresses_and_health(
    told: Told, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Once it answers, in the foreground as detached."""
    with served(tmp_path / "running") as server:
        from server.home import LISTENING
        from shared.durable import read_json

        facts = read_json(server.home.state / LISTENING)
        monkeypatch.setenv("MURMURA_HOME", str(server.home.root))
        monkeypatch.setattr("server.service.Service.run", lambda _self, ready: ready(facts))
        content = told("server", "start")
        monkeypatch.setattr(detaching, "start_detached", lambda _home: facts)
        assert told("server", "start", "--detach") == content
    assert content["address"] == f"localhost:{server.port}"
    assert set(content["health"].values()) == {"ok"}
    assert len(content["fingerprint"]) == 64
    assert content["internal"].startswith("127.0.0.1:")


def test_a_port_that_does_not_answer_is_told(told: Told, place: Path) -> None:
    """As what is wrong, not as a traceback."""
    from server.local_client import health_of, status_of
    from shared.errors import StateError

    told(*INIT)
    facts = {"public": [["0.0.0.0", 1]], "internal": 1}  # noqa: S104 - nobody listens there
    (state,) = health_of(ServerHome(place), facts).values()
    assert "refused" in state
    with pytest.raises(StateError, match="does not answer"):
        status_of(facts)


def test_logs_are_the_last_lines_of_each_process(
    murmura: Command, told: Told, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With their process's name."""
    told(*INIT)
    (place / "logs" / "serving.log").write_text("".join(f"line {n}\n" for n in range(50)))
    assert told("server", "logs", "-n", "2")["logs"] == {
        "serving": ["line 48", "line 49"],
        "superexec": [],
        "service": [],
    }
    assert murmura("server", "logs", "-n", "1") == 0
    assert capsys.readouterr().out == "serving: line 49\n"


def test_logs_can_be_followed(
    murmura: Command, told: Told, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole lines, also after the file was put aside."""
    told(*INIT)
    path = place / "logs" / "serving.log"
    path.write_text("old\n")
    said: list[str] = []
    steps = iter(["old\nnew\nha", "old\nnew\nhalf\n", "s\n"])

    def until() -> bool:
        step = next(steps, None)
        if step is not None:
            path.write_text(step)
        return step is None

    monkeypatch.setattr(log_tails, "_LOOK_S", 0.0)
    log_tails.follow_logs({"serving": path}, said.append, until=until)
    assert said == ["serving: new", "serving: half", "serving: s"]
    monkeypatch.setattr(log_tails, "follow_logs", lambda paths, _say: said.append(str(len(paths))))
    assert murmura("server", "logs", "--follow") == 0
    assert said[-1] == "3"
