"""`murmura watch`: a page on disk, or one that is served to this account on this machine."""

import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from murmura import watch_service
from murmura.course import Course
from murmura.watch_service import SCRIPT, STATE, WatchServer, loopback_family
from server.progress_file import PROGRESS
from shared.errors import ConfigurationError, StateError
from tests.murmura.conftest import Command
from tests.murmura.watched import EVIL, events, finished, put


@pytest.fixture
def served(tmp_path: Path) -> Iterator[WatchServer]:
    """The page of a run of three rounds."""
    course = Course(put(tmp_path / "run", events()))
    with WatchServer(course, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked(
    server: WatchServer, path: str = "/", *, method: str = "GET", host: str | None = "localhost"
) -> tuple[int, http.client.HTTPMessage, str]:
    """Status, headers and body."""
    port = server.server_address[1]
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
    connection.putrequest(method, path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, body


def test_the_page_is_written_into_the_folder_or_where_it_is_wanted(
    murmura: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its path is printed; with --json the numbers too."""
    run = finished(tmp_path / "run", events(5))
    assert murmura("watch", run) == 0
    assert capsys.readouterr().out == f"{run / 'watch.html'}\n"
    assert "<svg" in (run / "watch.html").read_text()
    assert murmura("watch", run, "--json", "--out", tmp_path / "page.html") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["page"] == str(tmp_path / "page.html")
    assert (told["status"], told["rounds_done"], told["epsilon"]) == ("finished", 5, 0.5)


def test_the_page_is_opened(
    murmura: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where that is asked for."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    run = put(tmp_path / "run", events())
    assert murmura("watch", run, "--open") == 0
    assert opened == [(run / "watch.html").as_uri()]


def test_serving_ends_well_with_ctrl_c(
    murmura: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It says where; nothing is written."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)

    def interrupted(_self: WatchServer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(WatchServer, "serve_forever", interrupted)
    run = put(tmp_path / "run", events())
    assert murmura("watch", run, "--serve", "--port", 0) == 0
    assert "run: http://127.0.0.1:" in capsys.readouterr().out
    assert murmura("watch", run, "--serve", "--port", 0, "--json", "--open") == 0
    assert opened == [json.loads(capsys.readouterr().out)["url"]]
    assert sorted(path.name for path in run.iterdir()) == [PROGRESS]


def test_where_ctrl_c_is_ignored_another_way_to_end_it_is_said(
    murmura: Command,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in the background of a shell without job control."""
    monkeypatch.setattr(WatchServer, "serve_forever", lambda _: None)
    monkeypatch.setattr("signal.getsignal", lambda _: signal.SIG_IGN)
    assert murmura("watch", finished(tmp_path, events()), "--serve", "--port", 0) == 0
    assert f"(kill {os.getpid()} ends it)" in capsys.readouterr().out


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.7", "::", "example.org", ""])  # noqa: S104
def test_it_is_served_on_loopback_only(
    murmura: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    """Any other address is refused before anything listens."""
    run = put(tmp_path / "run", events())
    assert murmura("watch", run, "--serve", "--address", address) == 2
    assert "loopback only" in capsys.readouterr().err


def test_both_kinds_of_loopback_are_known() -> None:
    """By number, so that no name can lead elsewhere."""
    assert loopback_family("127.0.0.2") == socket.AF_INET
    assert loopback_family("::1") == socket.AF_INET6
    with pytest.raises(ConfigurationError):
        loopback_family("localhost.example.org")


def test_a_port_that_is_taken_is_said(served: WatchServer) -> None:
    """And which."""
    with pytest.raises(StateError, match="cannot be had"):
        WatchServer(Course(served._course.folder), "127.0.0.1", int(served.server_address[1]))


def test_the_page_follows_the_run(served: WatchServer) -> None:
    """Each answer tells what the folder has by then."""
    status, headers, page = asked(served)
    assert status == 200
    assert SCRIPT in page
    assert "3 of 5" in page
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    put(served._course.folder, events(4)[-1:])
    status, headers, body = asked(served, STATE)
    state = json.loads(body)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert state["run"]["rounds_done"] == 4
    assert "4 of 5" in state["parts"]["facts"]
    assert set(state["parts"]) == {"head", "facts", *(f"plot-{n}" for n in range(6))}
    assert all(f'id="{at}"' in page for at in state["parts"])


def test_every_answer_carries_the_policy_and_no_leave_for_other_origins(
    served: WatchServer,
) -> None:
    """Errors too."""
    for path in ("/", STATE, "/none"):
        _, headers, page = asked(served, path)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert policy.endswith("frame-ancestors 'none'")
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Access-Control-Allow-Origin"] is None
        if path == "/":
            assert policy.partition("; frame-ancestors")[0] in page


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200), ("localhost", 200), ("LOCALHOST:1", 200), ("[::1]:80", 200),
        ("evil.example:8765", 421), ("localhost.evil.example", 421), ("127.0.0.1.evil", 421),
        ("127.0.0.1@evil.example", 421), ("", 421), (None, 421),
    ],
)  # fmt: skip
def test_a_foreign_name_that_leads_here_is_told_nothing(
    served: WatchServer, host: str | None, status: int
) -> None:
    """DNS rebinding: the browser asks under the name of the page that attacks."""
    for path in ("/", STATE):
        found, _, body = asked(served, path, host=host)
        assert found == status
        assert ("recall" in body) == (status == 200)


def test_nothing_else_is_answered(served: WatchServer) -> None:
    """No other path, no other method; what was asked is not repeated as markup."""
    assert asked(served, "/../progress.jsonl")[0] == 404
    assert asked(served, "/state?x=1")[0] == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert asked(served, method=method)[0] == 501
    _, headers, body = asked(served, "/%3Cscript%3E")
    assert headers["Content-Type"].startswith("text/plain")
    assert "script" not in body


def test_another_account_gets_no_answer(
    served: WatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection is closed; whoever asks next is answered."""
    with monkeypatch.context() as patched:
        patched.setattr(watch_service, "opened_by_owner", lambda _socket: False)
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            asked(served)
    assert asked(served)[0] == 200


def test_a_folder_that_is_damaged_is_said_as_long_as_it_is_watched(served: WatchServer) -> None:
    """As JSON; the page shows it as text. The server goes on."""
    path = served._course.folder / PROGRESS
    whole = path.read_text()
    path.write_text(whole + "no json\n")
    for _ in range(2):
        status, _, body = asked(served, STATE)
        assert status == 500
        assert "one JSON object a line" in json.loads(body)["error"]
    assert "innerHTML = markup" in SCRIPT
    assert "said.textContent" in SCRIPT


def test_names_are_escaped_in_the_state_as_well(served: WatchServer) -> None:
    """It becomes markup in the page."""
    put(served._course.folder, events(4, metrics={EVIL: 0.5})[-1:])
    state = json.loads(asked(served, STATE)[2])
    assert all("<script" not in markup for markup in state["parts"].values())
    assert "alert(" in "".join(state["parts"].values())


def test_an_address_of_the_newer_kind_is_in_brackets() -> None:
    """Where the machine has one."""
    server = WatchServer.__new__(WatchServer)
    server.address_family, server.server_address = socket.AF_INET6, ("::1", 8765, 0, 0)
    assert server.url == "http://[::1]:8765/"
