"""Who is missing and why, in one line."""

from server.reasons import Reasons


def test_each_reason_is_told_once_with_who_gave_it() -> None:
    """The commonest first; a class of our own has words, any other text stands as it came."""
    found = Reasons()
    assert not found
    found.add("site-c", "no answer in time; its own log says more")
    found.add("site-b", "PolicyRefused")
    found.add("site-a", "PolicyRefused")
    assert found
    assert str(found) == (
        "site-a, site-b: PolicyRefused (its policy does not allow it); site-c: no answer in time"
    )
    found.clear()
    assert not found


def test_many_sites_and_many_reasons_stay_one_line() -> None:
    """A thousand clients are counted, not listed."""
    found = Reasons()
    for number in range(1000):
        found.add(f"site-{number}", "BudgetExhausted" if number < 990 else f"reason {number}")
    assert str(found) == (
        "site-0, site-1, site-2, site-3, site-4, and 985 more: BudgetExhausted (its privacy "
        "budget does not allow it); site-990: reason 990; site-991: reason 991; "
        "8 more for other reasons"
    )
