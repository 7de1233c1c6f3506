"""A unit for systemd that it reads as it is meant, whatever the folders are called."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from client.home import SiteHome
from murmura.cli import main
from murmura.exit_codes import ExitCode
from murmura.systemd_unit import guard_unit
from tests.client.authorities import TestAuthority
from tests.client.made_sites import made_home, settings_of

AUTHORITY = TestAuthority.new()
DEPLOYMENT = Path(__file__).parents[2] / "docs" / "deployment.md"


def verified(path: Path, unit: str) -> None:
    """What systemd itself finds wrong in `unit`, where it is there: nothing."""
    path.write_text(unit)
    checker = shutil.which("systemd-analyze")
    if checker is not None:
        done = subprocess.run(  # noqa: S603 - of the system
            [checker, "verify", str(path)], capture_output=True, text=True, check=False
        )
        assert path.name not in done.stderr, done.stderr
        assert "not absolute" not in done.stderr, done.stderr


def made(tmp_path: Path, name: str, **table: str) -> SiteHome:
    """A site whose site.toml has these in [site]."""
    home = made_home(tmp_path / name, AUTHORITY, name="site-a")
    settings = settings_of(home).to_toml()
    if "data" in table:
        settings = settings.replace("partitions = 3", "partitions = 0")
    for key, value in table.items():
        settings = settings.replace(f'{key} = ""', f'{key} = "{value}"')
    home.settings.write_text(settings)
    return home


def test_a_unit_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the command, the home and the data; as an object, too; nothing is started."""
    home = made(tmp_path, "home", data=str(tmp_path))
    command = ["client", "start", "--print-systemd-unit", "--home", str(home.root)]
    assert main(command) == ExitCode.OK
    unit = capsys.readouterr().out
    for line in (f"ReadWritePaths={home.root}\n", f"ReadOnlyPaths={tmp_path}\n", "Restart="):
        assert line in unit
    assert f"client start --home {home.root}\n" in unit
    verified(tmp_path / "murmura-site.service", unit)
    assert main([*command, "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == {"unit": unit}
    assert home.running() is None


def test_what_systemd_would_read_otherwise_is_quoted(tmp_path: Path) -> None:
    """Spaces part words, % begins a specifier, $ a variable of a command."""
    home = made(tmp_path, "a home of 50%", data=f"{tmp_path}/x rays")
    unit = guard_unit(home, settings_of(home).site, ["/bin/true", "--home", f"{home.root}/$HOME"])
    where = f"{tmp_path}/a home of 50%%"
    assert f'ExecStart=/bin/true --home "{where}/$$HOME"\n' in unit
    assert f'ReadWritePaths="{where}"\n' in unit
    assert f'ReadOnlyPaths="{tmp_path}/x rays"\n' in unit
    verified(tmp_path / "quoted.service", unit)


def test_a_ledger_elsewhere_can_be_written(tmp_path: Path) -> None:
    """And its witness: without either nothing could be charged, and nothing would leave."""
    home = made(tmp_path, "home", ledger="/srv/old/ledger")
    unit = guard_unit(home, settings_of(home).site, ["/bin/true"])
    assert f"ReadWritePaths={home.root} /srv/old/ledger /srv/old/.ledger.witness\n" in unit
    assert "ReadOnlyPaths" not in unit
    verified(tmp_path / "ledger.service", unit)


def test_the_servers_unit_of_the_handbook_is_one(tmp_path: Path) -> None:
    """But for the place of the command."""
    unit = DEPLOYMENT.read_text(encoding="utf-8").partition("```ini\n")[2].partition("```")[0]
    assert "murmura server start\n" in unit
    program = "/opt/murmura/bin/murmura"
    verified(tmp_path / "murmura-server.service", unit.replace(program, "/bin/true"))
