"""What a guard keeps of messages in flight, and what it keeps no longer."""

from pathlib import Path

from client.in_flight import InFlight


def test_what_was_written_in_part_is_removed_and_nothing_else(tmp_path: Path) -> None:
    """A part of a run's file may hold its keys, which must go with the run."""
    for name in (".message-ab.1234", ".run-1.5678", "message-ab", "run-1", "node.json", ".other"):
        (tmp_path / name).write_text("x")
    InFlight(tmp_path).sweep()
    assert {path.name for path in tmp_path.iterdir()} == {
        "message-ab", "run-1", "node.json", ".other",
    }  # fmt: skip
