"""server.toml: what is written is read back, and what is wrong is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.settings import Limits, ServerSettings, checked_name, host_and_port
from shared.errors import ConfigurationError

NAMES = st.sampled_from(["fl.example.org", "localhost", "192.0.2.7", "2001:db8::1", "a-b.c"])


@given(
    names=st.lists(NAMES, min_size=1, unique=True),
    port=st.integers(0, 65535),
    body=st.integers(1, 1 << 20),
)
def test_what_is_written_is_read_back(names: list[str], port: int, body: int) -> None:
    """Every field, limits too."""
    settings = ServerSettings(
        names=tuple(names), port=port, internal_port=1, limits=Limits(body_mib=body)
    )
    assert ServerSettings.from_toml(settings.to_toml()) == settings


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("names = [", "cannot be read"),
        ("port = 1", "names"),
        ("names = []", "names"),
        ('names = "a"', "names"),
        ("names = [1]", "names"),
        ('names = ["a", "a"]', "names"),
        ('names = ["a b"]', "DNS name"),
        ('names = ["[::1]"]', "DNS name"),
        ('names = ["a"]\nlisten = []', "listen"),
        ('names = ["a"]\nlisten = ["localhost"]', "listen"),
        ('names = ["a"]\nport = 65536', "port"),
        ('names = ["a"]\nport = true', "port"),
        ('names = ["a"]\ninternal_port = "1"', "internal_port"),
        ('names = ["a"]\nprot = 1', "prot"),
        ('names = ["a"]\nlimits = 1', "limits"),
        ('names = ["a"]\n[limits]\nbody = 1', "body"),
        ('names = ["a"]\n[limits]\nbody_mib = 0', "body_mib"),
        ('names = ["a"]\n[limits]\nnewcomers = 1.5', "newcomers"),
    ],
)
def test_what_is_wrong_is_named(text: str, named: str) -> None:
    """Unknown keys too."""
    with pytest.raises(ConfigurationError, match=named):
        ServerSettings.from_toml(text)


def test_an_address_is_written_as_it_is_used() -> None:
    """Brackets for IPv6 alone."""
    assert host_and_port("::1", 1) == "[::1]:1"
    assert host_and_port("192.0.2.7", 1) == "192.0.2.7:1"
    assert host_and_port("a.b", 1) == "a.b:1"
    assert checked_name("a.b") == "a.b"
