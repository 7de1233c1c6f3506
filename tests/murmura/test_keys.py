"""The list of keys."""

from murmura.keys import MEANINGS, print_keys
from shared.config import defaults
from tests.murmura.scripted import console, printed


def test_every_key_has_a_meaning_and_no_meaning_is_left_over() -> None:
    """A key added to the configuration must be explained here."""
    assert MEANINGS.keys() == defaults().keys()


def test_a_pipe_gets_every_key_in_one_line_of_its_own() -> None:
    """So that it can be searched; what only murmura sets is left out."""
    target = console(width=60, terminal=False)
    print_keys(target)
    lines = {line.split()[0]: line for line in printed(target).splitlines() if line.strip()}
    for key, default in defaults().items():
        if key in ("output.resume", "output.origins", "output.bundle_signature"):
            assert key not in lines
        else:
            assert MEANINGS[key] in lines[key]
            assert (str(default).lower() or '""') in lines[key].lower()


def test_a_terminal_gets_the_keys_wrapped_to_its_width() -> None:
    """Keys are never cut."""
    target = console(width=80)
    print_keys(target)
    assert all(len(line) <= 80 for line in printed(target).splitlines())
    assert "population.examples_per_client" in printed(target)
