"""`murmura client`: from an invitation to a service, as its operator types it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client.bundle import Bundle
from client.home import SiteHome
from client.identity import read_identity
from client.ledger import Ledger
from client.site_keys import identity_hex
from murmura.cli import main
from murmura.client_home import opened
from murmura.client_service import _lines
from murmura.exit_codes import ExitCode
from shared.app_signatures import fingerprint
from shared.audit_check import verify
from tests.client.authorities import TestAuthority
from tests.client.made_sites import made_bundle, made_home, roster_of
from tests.client.site_server import SiteServer, serving

AUTHORITY = TestAuthority.new()
Said = Callable[..., dict[str, Any]]
FOREIGN = made_bundle(more={"client/more.py": b""})


@pytest.fixture
def home(tmp_path: Path) -> SiteHome:
    """Of a site that joined."""
    return made_home(tmp_path / "home", AUTHORITY, name="site-a")


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """What `murmura client` says with --json, from the home in `tmp_path`."""

    def command(*arguments: str, status: ExitCode = ExitCode.OK) -> dict[str, Any]:
        given = ["client", *arguments, "--home", str(tmp_path / "home"), "--json"]
        capsys.readouterr()
        assert main(given) == status
        found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
        return found

    return command


def logged(home: SiteHome) -> list[str]:
    """Events of the site's audit log, which is whole."""
    found = verify(home.audit, read_identity(home.identity).public_key())
    assert found.intact
    return [json.loads(line)["event"] for line in home.audit.read_bytes().splitlines()]


def join(server: SiteServer, folder: Path) -> list[str]:
    """The arguments of a join."""
    (folder / "data").mkdir(exist_ok=True)
    return ["join", server.line(), "--data", str(folder / "data")]


def test_a_site_joins_with_its_budget_and_policy(tmp_path: Path, said: Said) -> None:
    """From options and from a file; options win."""
    rules = tmp_path / "rules.toml"
    rules.write_text(
        "[policy]\ntasks = ['digits']\nmost_epsilon = 3\n[worker]\nsandbox = 'required'\n"
        "[budget]\nepsilon = 9.0\ndelta = 1e-6\nunit = 'client'\nquota = 0.5\n"
    )
    with serving(tmp_path, AUTHORITY) as server:
        found = said(*join(server, tmp_path), "--policy", str(rules), "--epsilon", "4.0")
    home, settings = opened(tmp_path / "home")
    assert (found["name"], found["epsilon"], found["delta"]) == ("site-a", 4.0, 1e-6)
    assert found["identity"] == identity_hex(home)
    assert settings.policy.tasks == ("digits",)
    assert settings.worker.sandbox == "required"
    granted = Ledger(home.ledger).blocks["all"].grant
    assert (granted.epsilon, granted.unit, granted.quota) == (4.0, "client", 0.5)
    assert granted.data_set == "data"


def test_a_demonstrations_site_has_a_part(tmp_path: Path, said: Said) -> None:
    """And may do seeded runs, if that is said."""
    with serving(tmp_path, AUTHORITY) as server:
        said(
            "join", server.line(name="site-000001"), "--part", "1/3", "--epsilon", "8",
            "--delta", "1e-5", "--allow-seeded-runs",
        )  # fmt: skip
    _, settings = opened(tmp_path / "home")
    assert (settings.demonstration.partition, settings.demonstration.partitions) == (1, 3)
    assert settings.policy.seeded_runs


def test_a_demonstrations_site_is_invited_under_the_name_that_its_runs_give_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another one would be in the roster, and every run under masks would leave it out."""
    with serving(tmp_path, AUTHORITY) as server:
        arguments = ["join", server.line(name="site-1"), "--part", "1/3", "--epsilon", "8"]
        home = ["--delta", "1e-5", "--home", str(tmp_path / "home")]
        assert main(["client", *arguments, *home]) == ExitCode.CONFIGURATION
    assert "invited as 'site-000001'" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("arguments", "said_so"),
    [
        (["--data", "."], "needs --epsilon and --delta"),
        (["--data", ".", "--epsilon", "8"], "needs --delta"),
        (["--epsilon", "8", "--delta", "1e-5"], "either --data or"),
        (["--data", ".", "--part", "0/2", "--epsilon", "8", "--delta", "1e-5"], "either --data or"),
        (["--part", "2/2", "--epsilon", "8", "--delta", "1e-5"], "--part must be i/n"),
        (["--part", "x", "--epsilon", "8", "--delta", "1e-5"], "--part must be i/n"),
        (["--data", ".", "--policy", "nowhere.toml"], "cannot read"),
        (["--data", ".", "--epsilon", "-8", "--delta", "1e-5"], "epsilon"),
        (["--data", ".", "--epsilon", "8", "--delta", "1e-5", "--unit", "x"], "unit"),
    ],
)
def test_what_is_missing_or_wrong_is_said_before_anything_is_sent(
    arguments: list[str], said_so: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nobody is there to be asked."""
    line = SiteServer(AUTHORITY, port=1).line()
    home = ["--home", str(tmp_path / "home")]
    assert main(["client", "join", line, *arguments, *home]) == ExitCode.CONFIGURATION
    assert said_so in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "text", ["[policy", "[polcy]\n", "policy = 1\n", "[policy]\nhours = 'x'\n", "[budget]\nx = 1\n"]
)
def test_a_policy_that_is_wrong_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rule with a typing error must not be dropped."""
    rules = tmp_path / "rules.toml"
    rules.write_text(text)
    arguments = ["join", SiteServer(AUTHORITY, port=1).line(), "--data", str(tmp_path)]
    budget = ["--epsilon", "8", "--delta", "1e-5", "--policy", str(rules)]
    home = ["--home", str(tmp_path / "home")]
    assert main(["client", *arguments, *budget, *home]) == ExitCode.CONFIGURATION
    assert capsys.readouterr().err.startswith("error: ")


def test_whoever_is_there_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For the budget, once."""
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("murmura.client_home.typer.prompt", lambda _, **more: more["default"] / 2)
    with serving(tmp_path, AUTHORITY) as server:
        arguments = join(server, tmp_path)
        assert main(["client", *arguments, "--home", str(tmp_path / "home")]) == ExitCode.OK
    out = capsys.readouterr().out
    assert "site-a joined" in out
    assert "murmura client start" in out
    granted = Ledger(tmp_path / "home" / "ledger").blocks["all"].grant
    assert (granted.epsilon, granted.delta) == (4.0, 5e-6)


def test_a_refusal_ends_with_its_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The federation's, since another party said no."""
    with serving(tmp_path, AUTHORITY) as server:
        server.refusal = 403, b'{"error": "token_used", "text": "expected another"}'
        arguments = [*join(server, tmp_path), "--epsilon", "8", "--delta", "1e-5"]
        home = ["--home", str(tmp_path / "home")]
        assert main(["client", *arguments, *home]) == ExitCode.FEDERATION
    assert "token_used" in capsys.readouterr().err


def test_a_bundle_is_approved_and_withdrawn(
    home: SiteHome, said: Said, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By file or hash; without one, what waits is shown."""
    path = tmp_path / "app.fab"
    path.write_bytes(FOREIGN)
    digest = Bundle(FOREIGN).hash
    assert said("approve", str(path))["approved"][digest]["unsigned"] is False
    assert said("approve", digest, "--unsigned")["approved"][digest]["unsigned"] is True
    assert main(["client", "approve", "--home", str(home.root)]) == ExitCode.OK
    assert f"approved  {digest}  without a signature" in capsys.readouterr().out
    assert said("approve", digest, "--withdraw")["approved"] == {}
    capsys.readouterr()
    assert main(["client", "approve", "--home", str(home.root)]) == ExitCode.OK
    assert capsys.readouterr().out == "no bundle waits\n"
    (home.bundles / f"{digest}.fab").write_bytes(FOREIGN)
    assert main(["client", "approve", "--home", str(home.root)]) == ExitCode.OK
    assert f"waits     {digest}" in capsys.readouterr().out
    assert said("approve", digest[:12])["approved"].keys() == {digest}
    assert said("approve", "ab", status=ExitCode.CONFIGURATION)["kind"] == "configuration"
    assert logged(home) == ["approved", "approved", "withdrawn", "approved"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--withdraw",), "expected a bundle with --withdraw, got none"),
        (("--unsigned",), "expected a bundle with --unsigned, got none"),
        (("ab" * 32, "--withdraw"), f"expected a bundle that was approved, got {'ab' * 32}"),
        (("zz" * 32,), "expected a file, a SHA-256, or at least 12 digits"),
        (("site.toml",), "is no app bundle: bundle_no_archive"),
    ],
)
def test_what_names_no_bundle_decides_nothing(
    home: SiteHome,
    said: Said,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    expected: str,
) -> None:
    """It is wrong use, and in no log."""
    monkeypatch.chdir(home.root)
    assert expected in said("approve", *arguments, status=ExitCode.CONFIGURATION)["error"]
    assert not home.audit.exists()
    assert not home.approved.exists()


def test_a_roster_is_shown_and_accepted(
    tmp_path: Path, said: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the fingerprint that it is shown with."""
    with serving(tmp_path, AUTHORITY) as server:
        home = made_home(tmp_path / "home", AUTHORITY, name="site-a", address=server.address)
        server.roster = roster_of(home)
        found = said("roster")
        assert found["fingerprint"] == fingerprint(server.roster)
        assert not home.roster.exists()
        assert main(["client", "roster", "--home", str(home.root)]) == ExitCode.OK
        shown = capsys.readouterr().out
        assert "not accepted yet" in shown
        told = shown.partition("fingerprint ")[2].splitlines()[0]
        assert said("roster", "--accept", told)["accepted"] is True
        assert home.roster.exists()
        assert main(["client", "roster", "--home", str(home.root)]) == ExitCode.OK
        assert capsys.readouterr().out.endswith("\naccepted\n")
        server.roster = server.roster | {"clients": {**server.roster["clients"], "new": "ab" * 32}}
        assert said("roster")["accepted"] is False
        assert main(["client", "roster", "--home", str(home.root)]) == ExitCode.OK
        assert "another one was accepted; --accept" in capsys.readouterr().out
        assert logged(home) == ["roster"]
        assert said("roster", "--accept", "00", status=ExitCode.CONFIGURATION)["code"] == 2


def test_a_certificate_is_renewed(
    tmp_path: Path, said: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    """On demand, too."""
    with serving(tmp_path, AUTHORITY) as server:
        home = made_home(tmp_path / "home", AUTHORITY, name="site-a", address=server.address)
        before = home.certificate.read_bytes()
        assert set(said("renew")) == {"serial", "starts", "expires"}
        assert home.certificate.read_bytes() != before
        assert main(["client", "renew", "--home", str(home.root)]) == ExitCode.OK
    assert "renewed: number" in capsys.readouterr().out


def test_the_status_of_a_site_that_does_not_run(
    home: SiteHome, said: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is known without it: certificate, budget, roster, what waits."""
    (home.bundles / f"{'ab' * 32}.fab").write_bytes(FOREIGN)
    found = said("status")
    assert (found["state"], found["running"]) == ("not running", None)
    assert found["granted_epsilon"] == {"all": 1000.0}
    assert found["spent_epsilon"] == {"all": 0.0}
    assert (found["granted_delta"], found["unit"]) == ({"all": 1e-5}, {"all": "record"})
    assert found["bundles_waiting"] == ["ab" * 32]
    assert found["roster"] is False
    assert main(["client", "status", "--home", str(home.root)]) == ExitCode.OK
    shown = capsys.readouterr().out
    for word in ("site-a of", "not running", "none accepted", "abab",
                 "epsilon 0.0 of 1000.0 at delta 1e-05 for one record, all servers"):  # fmt: skip
        assert word in shown
    assert said("stop") == {"stopped": False}
    assert main(["client", "stop", "--home", str(home.root)]) == ExitCode.OK
    assert capsys.readouterr().out == "no guard runs\n"


@pytest.mark.parametrize(
    ("worker", "said_so"),
    [
        ({"process": None, "shut_in": "not running"}, "rests, started when it is needed"),
        ({"process": 7, "shut_in": "network"}, "7, shut off from network"),
        ({"process": 7, "shut_in": "nothing"}, "7, shut off from nothing"),
    ],
)
def test_a_worker_is_told_as_it_is(worker: dict[str, object], said_so: str) -> None:
    """One that rests is shut off from nothing, since there is none."""
    content = {
        "name": "a", "server": "b", "running": 1, "state": "connected", "messages": 0,
        "workers": [worker], "certificate_expires": 0, "roster": True, "bundles_waiting": [],
        "spent_epsilon": {},
    }  # fmt: skip
    assert f"worker       {said_so}" in _lines(content)


def test_logs_are_shown_from_their_end(
    home: SiteHome, said: Said, capsys: pytest.CaptureFixture[str]
) -> None:
    """The guard's, or the worker's."""
    assert said("logs", status=ExitCode.DATA)["kind"] == "state"
    (home.logs / "guard.log").write_text("one\ntwo\nthree\n")
    (home.logs / "worker.log").write_text("four\n")
    assert said("logs", "--lines", "2")["lines"] == ["two", "three"]
    assert said("logs", "--worker")["lines"] == ["four"]
    assert main(["client", "logs", "--lines", "1", "--home", str(home.root)]) == ExitCode.OK
    assert capsys.readouterr().out == "three\n"


def test_a_second_guard_is_refused_before_it_says_that_it_runs(
    home: SiteHome, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the background likewise, and by the same status."""
    with home.held():
        for more in ([], ["--detach"]):
            assert main(["client", "start", "--home", str(home.root), *more]) == ExitCode.DATA
            shown = capsys.readouterr()
            assert (shown.out, shown.err) == ("", f"error: a guard runs from {home.root} already\n")


@pytest.mark.slow
@pytest.mark.integration
def test_a_guard_is_started_and_stopped_in_the_background(home: SiteHome, said: Said) -> None:
    """Even where no server answers; and a second one is refused."""
    started = said("start", "--detach")
    assert home.running() == started["pid"]
    found = said("status")
    assert found["running"] == started["pid"]
    refused = said("start", "--detach", status=ExitCode.DATA)
    assert "runs from" in refused["error"]
    assert said("stop") == {"stopped": True}
    assert home.running() is None
