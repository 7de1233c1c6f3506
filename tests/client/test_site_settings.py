"""site.toml: what is written is read again, and what it does not know is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.policy import SitePolicy
from client.site_settings import Demonstration, SiteSettings, WhoseSite, WorkerSettings
from shared.errors import ConfigurationError

SITE = WhoseSite(name="a", server="fl:1", authority="00", app_key="11", data="/data")


@given(
    st.builds(
        SitePolicy,
        tasks=st.lists(st.text(max_size=20), max_size=3).map(tuple),
        most_epsilon=st.floats(0, 1e6),
        smallest_cohort=st.integers(1, 10**6),
        seeded_runs=st.booleans(),
    ),
    st.text(min_size=1, max_size=30),
)
def test_what_is_written_is_read_again(policy: SitePolicy, data: str) -> None:
    """Any text, any number."""
    try:
        data.encode()
        [task.encode() for task in policy.tasks]
    except UnicodeEncodeError:
        return
    settings = SiteSettings(
        site=WhoseSite(name="a", server="fl:1", authority="00", app_key="11", data=data),
        policy=policy,
        worker=WorkerSettings(sandbox="required"),
    )
    assert SiteSettings.parse(settings.to_toml()) == settings


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[site", "no valid TOML"),
        ("", r"needs the table \[site\]"),
        ("[site]\nname = 'a'", r"needs \['app_key'"),
        (SiteSettings(site=SITE).to_toml() + "\n[more]\n", "knows"),
        ("[site]\ncolour = 'red'", r"\[site\] knows"),
        ("site = 3", r"\[site\] knows"),
        ("[site]\nname = 3", "must be of type str"),
        (SiteSettings(site=SITE).to_toml().replace('hours = ""', "hours = 'x'"), "HH:MM"),
        (SiteSettings(site=SITE).to_toml().replace("tasks = []", "tasks = 'a'"), "a list of str"),
        (SiteSettings(site=SITE).to_toml().replace("tasks = []", "tasks = [1]"), "a list of str"),
        (
            SiteSettings(site=SITE).to_toml().replace("if-available", "perhaps"),
            "worker.sandbox must be one of",
        ),
    ],
)
def test_what_it_does_not_know_is_refused(text: str, said: str) -> None:
    """By the key that is wrong."""
    with pytest.raises(ConfigurationError, match=said):
        SiteSettings.parse(text)


def test_whole_numbers_are_fractions_too() -> None:
    """`most_epsilon = 8` is what a person writes."""
    text = SiteSettings(site=SITE).to_toml().replace("most_epsilon = 0.0", "most_epsilon = 8")
    assert SiteSettings.parse(text).policy.most_epsilon == 8.0


def test_a_site_has_data_of_its_own_or_a_part_of_a_demonstrations() -> None:
    """Not both, and not neither."""
    part = Demonstration(partition=1, partitions=3)
    for data, shown in (("", Demonstration()), ("/data", part)):
        site = WhoseSite(name="a", server="fl:1", authority="00", app_key="11", data=data)
        with pytest.raises(ConfigurationError, match="either"):
            SiteSettings(site=site, demonstration=shown)


@pytest.mark.parametrize(
    ("site", "part", "expected"),
    [
        ({"data": "/data"}, Demonstration(), {"name": "a", "data": "/data", "ledger": "/h/ledger"}),
        ({}, Demonstration(partition=1, partitions=3), {"partition-id": 1, "num-partitions": 3}),
        ({"data": "/d", "ledger": "/else"}, Demonstration(), {"ledger": "/else"}),
    ],
)
def test_the_node_is_configured_by_the_site(
    site: dict[str, Any], part: Demonstration, expected: dict[str, Any]
) -> None:
    """As `client.site` reads it."""
    whose = WhoseSite(name="a", server="fl:1", authority="00", app_key="11", **site)
    settings = SiteSettings(site=whose, demonstration=part)
    found = settings.node_config(
        ledger="/h/ledger", identity="/h/key", roster="", memory="/h/memory"
    )
    assert expected.items() <= found.items()
    assert found["allow-seeded-runs"] is False
