"""Tokens: one name, one use, one time; nothing on disk from which one could be found."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.home import ServerHome
from server.invitations import PREFIX, Invitations, checked_site_name, invitation_line
from server.refusals import Refused
from shared.errors import ConfigurationError, StateError


class Clock:
    """Time that a test sets."""

    now = 1e9

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """At some time."""
    return Clock()


@pytest.fixture
def invitations(tmp_path: Path, clock: Clock) -> Invitations:
    """None yet."""
    return Invitations(ServerHome(tmp_path), clock)


def code(invitations: Invitations, token: str, name: str) -> str:
    """Why a token is refused; "" if it is not."""
    try:
        invitations.check(token, name)
    except Refused as refusal:
        return refusal.code
    return ""


def test_a_token_lets_in_one_site_once(invitations: Invitations) -> None:
    """Until then it lets in whoever has it, under that name alone."""
    token, _ = invitations.invite("site-a")
    assert code(invitations, token, "site-a") == ""
    assert code(invitations, token, "site-b") == "name_mismatch"
    assert code(invitations, token[:-1], "site-a") == "token_unknown"
    assert code(invitations, "x" * 1000, "site-a") == "token_unknown"
    assert code(invitations, "\ud800", "site-a") == "token_unknown"
    assert invitations.used_for(token) is None
    invitations.use(token)
    assert code(invitations, token, "site-a") == "token_used"
    assert invitations.used_for(token) == "site-a"
    assert invitations.used_for("x" * 1000) is None


def test_a_token_expires(invitations: Invitations, clock: Clock) -> None:
    """At the very second, used or not."""
    token, expires = invitations.invite("site-a", hours=2.0)
    assert expires == clock.now + 7200
    clock.now = expires
    assert code(invitations, token, "site-a") == "token_expired"
    clock.now -= 1
    invitations.use(token)
    clock.now += 1
    assert invitations.used_for(token) is None


def test_a_second_invitation_voids_the_first(invitations: Invitations) -> None:
    """Of two lines in a mailbox one counts; those of other sites stay."""
    first, _ = invitations.invite("site-a")
    other, _ = invitations.invite("site-b")
    second, _ = invitations.invite("site-a")
    assert code(invitations, first, "site-a") == "token_unknown"
    assert code(invitations, second, "site-a") == ""
    assert code(invitations, other, "site-b") == ""


def test_the_token_is_not_on_disk(invitations: Invitations, tmp_path: Path) -> None:
    """Neither as it is written nor as bytes."""
    token, _ = invitations.invite("site-a")
    stored = (tmp_path / "invites.json").read_bytes()
    assert token.encode() not in stored
    assert base64.urlsafe_b64decode(token + "=") not in stored
    assert len(base64.urlsafe_b64decode(token + "=")) == 32


def test_old_ones_are_forgotten(invitations: Invitations, clock: Clock) -> None:
    """A month after they ended."""
    invitations.invite("site-a")
    clock.now += 40 * 86400
    invitations.invite("site-b")
    assert [entry.name for entry in invitations.all().values()] == ["site-b"]


@pytest.mark.parametrize("hours", [0.0, -1.0, float("nan"), 1e6])
def test_a_time_that_is_none_is_refused(invitations: Invitations, hours: float) -> None:
    """A token must end."""
    with pytest.raises(ConfigurationError, match="hours"):
        invitations.invite("site-a", hours)


@given(st.text(max_size=80))
def test_a_sites_name_is_plain(name: str) -> None:
    """So that it can stand in a certificate, in a file's name and on a terminal."""
    try:
        checked_site_name(name)
    except ConfigurationError:
        return
    assert 0 < len(name) <= 63
    assert name.isascii()
    assert name.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("content", ["[]", '{"invites": 1}', '{"invites": {"a": {}}}', "{"])
def test_a_damaged_file_is_no_empty_one(
    invitations: Invitations, tmp_path: Path, content: str
) -> None:
    """Otherwise a used token might count again."""
    (tmp_path / "invites.json").write_text(content)
    with pytest.raises(StateError):
        invitations.all()


def test_the_line_tells_all_that_a_site_needs() -> None:
    """In one word without spaces."""
    line = invitation_line(
        address="fl.example.org:8443",
        fingerprint="ab",
        token="t",  # noqa: S106 - no real one
        name="site-a",
        expires=12.7,
    )
    assert line.isprintable()
    assert " " not in line
    text = line.removeprefix(PREFIX)
    content = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    assert content == {
        "address": "fl.example.org:8443",
        "ca": "ab",
        "token": "t",
        "name": "site-a",
        "expires": 12,
    }
