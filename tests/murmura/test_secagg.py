"""`murmura secagg`: parameters that hold, and keys that stay where they are made."""

import json
from pathlib import Path

import pytest

from client.identity import ROSTER_FORMAT, read_identity, read_roster
from murmura.cli import main
from murmura.exit_codes import ExitCode


def test_parameters_of_a_thousand_clients(capsys: pytest.CaptureFixture[str]) -> None:
    """As the issue asks them: neighbours, committee, thresholds, bits, upload, time."""
    arguments = "secagg parameters --clients 1000 --corrupt 0.1 --dropped 0.1 --model-size 1e6"
    assert main([*arguments.split(), "--json"]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["corrupt"], found["dropped"], found["survivors"]) == (100, 100, 900)
    assert found["threshold"] <= found["committee"] < 1000
    assert found["vector_bytes"] == 5 * 2**20 // 2
    assert found["mask_seconds"] > 0.0
    assert main(arguments.split()) == ExitCode.OK
    shown = capsys.readouterr().out
    for word in ("committee", "upload", "0.66 of float32", "enrolled"):
        assert word in shown


def test_a_small_federation_masks_all_with_all(capsys: pytest.CaptureFixture[str]) -> None:
    """Three sites are the fewest."""
    assert main(["secagg", "parameters", "--clients", "3", "--model-size", "100"]) == ExitCode.OK
    assert "all with all" in capsys.readouterr().out


def test_with_helpers_nothing_is_shared(capsys: pytest.CaptureFixture[str]) -> None:
    """Each client masks with three, and sends no shares."""
    arguments = "secagg parameters --clients 20 --helpers 3 --model-size 100"
    assert main([*arguments.split(), "--json"]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["helped"], found["neighbours"], found["share_bytes"]) == (True, 3, 0)
    assert main(arguments.split()) == ExitCode.OK
    assert "with 3 helpers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--clients 2", "--clients"),
        ("--clients 10 --roster 9", "--roster must be 0 or at least 10"),
        ("--clients 10 --dropped -1", "--dropped"),
        ("--clients 10 --corrupt nan", "fractions in [0, 1)"),
        ("--clients 10 --model-size 1.5", "--model-size must be a whole number from 1 to 1e+12"),
        ("--clients 10 --model-size inf", "got inf"),
        ("--clients 10 --model-size 1e30", "got 1e+30"),
        ("--clients 10 --bits 12", "got 12"),
        ("--clients 10 --helpers 2", "got 2"),
    ],
)
def test_parameters_that_do_not_hold_are_refused(
    arguments: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the status of a wrong configuration, and in words that name them."""
    assert main(["secagg", "parameters", *arguments.split()]) == ExitCode.CONFIGURATION
    assert named in capsys.readouterr().err


def test_what_is_small_is_no_zero_of_something_larger(capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes and seconds in units of their own size."""
    arguments = "secagg parameters --clients 3 --model-size 100"
    assert main(arguments.split()) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "320 B, 0.80 of float32" in shown
    assert "0.00" not in shown
    assert main(["secagg", "parameters", "--clients", "1000", "--model-size", "1e12"]) == 0
    shown = capsys.readouterr().out
    assert " TB, " in shown
    assert " h " in shown


@pytest.mark.parametrize("name", ["", "a\nb", "a" * 101])
def test_a_name_that_no_server_would_enrol_gets_no_key(tmp_path: Path, name: str) -> None:
    """Before a file is made."""
    path = tmp_path / "key.pem"
    arguments = ["secagg", "identity", "--out", str(path), "--name", name]
    assert main(arguments) == ExitCode.CONFIGURATION
    assert not path.exists()


def test_an_identity_is_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Readable by its owner alone; its entry makes a roster; no key is ever replaced."""
    path = tmp_path / "key.pem"
    arguments = ["secagg", "identity", "--out", str(path), "--name", "a"]
    assert main([*arguments, "--json"]) == ExitCode.OK
    entry = json.loads(capsys.readouterr().out)["roster_entry"]
    assert path.stat().st_mode & 0o077 == 0
    (tmp_path / "roster").write_text(json.dumps({"format": ROSTER_FORMAT, "clients": entry}))
    known = read_roster(tmp_path / "roster")
    assert known["a"] == read_identity(path).public_key().public_bytes_raw()
    assert main(arguments) == ExitCode.DATA
    other = ["secagg", "identity", "--out", str(tmp_path / "other"), "--name", "b"]
    assert main(other) == ExitCode.OK
    assert "stays here" in capsys.readouterr().out
