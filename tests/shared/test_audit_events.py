"""Nothing gets into an audit log but declared events with declared fields of a declared form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.audit_events import EVENTS, FIELDS, check
from shared.errors import ConfigurationError
from tests.shared.audit_logs import LEFT

PRIVATE = "patient 17 was born in 1950"
EXAMPLES: dict[str, str | int] = {
    "site": "site a", "server": "fl.example.org:8443", "run": "20260101-digits-ab12",
    "kind": "train", "reason": "token_unknown", "serial": "1f", "again": True, "status": -9,
    "unsigned": False, "outcome": "completed", "address": "2001:db8::1",
}  # fmt: skip


def example(field: str) -> str | int:
    """A value that the field may have."""
    value = EXAMPLES.get(field, "ab" * 32)
    return value if FIELDS[field][1](value) else 7


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_takes_its_fields_and_no_other(event: str) -> None:
    """Each that it needs, each that it may have; one less or one more is refused."""
    declared = EVENTS[event]
    needed = {field: example(field) for field in declared.needs}
    check(event, needed)
    check(event, needed | {field: example(field) for field in declared.may_have})
    for field in declared.needs:
        with pytest.raises(ConfigurationError, match="needs"):
            check(event, {name: value for name, value in needed.items() if name != field})
    with pytest.raises(ConfigurationError, match="other fields"):
        check(event, needed | {"text": PRIVATE})


def test_every_field_is_of_some_event_and_the_other_way_round() -> None:
    """A field without a form could hold anything."""
    declared = {field for event in EVENTS.values() for field in (*event.needs, *event.may_have)}
    assert declared == set(FIELDS)


@given(st.sampled_from(sorted(LEFT)), st.one_of(st.text(), st.integers(), st.booleans()))
def test_a_value_of_another_form_is_refused_and_not_shown(field: str, value: str | int) -> None:
    """It may be what must not be written down."""
    detail = LEFT | {"round": 1, field: value}
    if FIELDS[field][1](value):
        check("left", detail)
        return
    with pytest.raises(ConfigurationError) as caught:
        check("left", detail)
    assert str(caught.value) == f"left: {field} must be {FIELDS[field][0]}, got another value"


@pytest.mark.parametrize(
    "field", [name for name in FIELDS if name not in {"site", "server", "run", "child"}]
)
def test_a_sentence_fits_nowhere_but_in_a_name(field: str) -> None:
    """Nor a path, nor what is too long, nor two lines."""
    for text in (PRIVATE, "/data/x-rays", "a" * 101, "ab\n", ""):
        assert not FIELDS[field][1](text)


@pytest.mark.parametrize("text", ["a" * 101, "/data/x-rays", "a\nb", "", "a\x1b[2J", "{}"])
def test_a_name_is_short_and_of_letters(text: str) -> None:
    """No control characters, which a terminal would obey."""
    assert not FIELDS["site"][1](text)


@pytest.mark.parametrize("value", [-1, 2**63, True, 1.0])
def test_a_count_is_a_whole_number_of_63_bits(value: int) -> None:
    """True is not one."""
    assert not FIELDS["bytes"][1](value)


def test_an_event_that_is_not_declared_is_refused() -> None:
    """`torn` too: the log alone enters it."""
    for event in ("torn", PRIVATE):
        with pytest.raises(ConfigurationError, match="expected an event") as caught:
            check(event, {})
        assert PRIVATE not in str(caught.value)
