"""The app bundle of what is installed: the same bytes, no foreign line, a task beside it."""

import os
import shutil
from pathlib import Path

import pytest

from client.approval import Approvals
from client.bundle import Bundle
from client.home import SiteHome
from murmura.app_bundle import PACKAGES, bundle_with, installed_bundle
from shared.config import RunConfig
from shared.errors import ConfigurationError, StateError
from tests.test_packaging import ROOT, shipped_files

OTHER_KEY = "00" * 32


def test_the_same_code_elsewhere_and_at_another_time_gives_the_same_bytes(tmp_path: Path) -> None:
    """So that sites and servers can compare it by its hash."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package)
    for path in tmp_path.rglob("*"):
        os.utime(path, (1e9, 1e9))
    assert installed_bundle(tmp_path) == installed_bundle()


def test_it_holds_our_code_and_every_setting_at_its_default(tmp_path: Path) -> None:
    """A site finds nothing in it but what is installed there; all of it travels."""
    bundle = Bundle(installed_bundle())
    assert Approvals(SiteHome(tmp_path), OTHER_KEY).is_installed(bundle)
    travelling = {
        name for name in shipped_files(*PACKAGES) if not name.endswith((".proto", ".pyi"))
    }
    assert set(bundle.files) == travelling | {"pyproject.toml", ".info/CONTENT"}
    assert RunConfig.from_run_config(bundle.run_config({})) == RunConfig()


def test_a_task_of_ones_own_goes_beside_our_code(tmp_path: Path) -> None:
    """What its pyproject.toml names, and by default all of it; it is foreign to every site."""
    (tmp_path / "my_task.py").write_text("MyTask = object\n")
    (tmp_path / "secret.json").write_text("{}\n")
    whole = Bundle(bundle_with(tmp_path))
    assert {"my_task.py", "secret.json", "client/app.py"} <= set(whole.files)
    (tmp_path / "pyproject.toml").write_text('[tool.flwr.app]\nfab-include = ["*.py"]\n')
    chosen = Bundle(bundle_with(tmp_path))
    assert "my_task.py" in chosen.files
    assert "secret.json" not in chosen.files
    assert RunConfig.from_run_config(chosen.run_config({})) == RunConfig()
    assert not Approvals(SiteHome(tmp_path), OTHER_KEY).is_installed(chosen)


@pytest.mark.parametrize("name", ["client/odd.py", "shared/x.py"])
def test_a_folder_that_would_change_our_code_is_refused(tmp_path: Path, name: str) -> None:
    """It would look like ours."""
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text("")
    with pytest.raises(ConfigurationError, match="named like"):
        bundle_with(tmp_path)


def test_what_is_no_task_is_refused(tmp_path: Path) -> None:
    """No folder, nothing in it, patterns that fit nothing."""
    with pytest.raises(ConfigurationError, match="folder"):
        bundle_with(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="Python modules"):
        bundle_with(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.flwr.app]\nfab-include = ["no/*.py"]\n')
    with pytest.raises(ConfigurationError, match="did not match"):
        bundle_with(tmp_path)


def test_what_flower_does_not_take_is_told(tmp_path: Path) -> None:
    """More than fits into a bundle, say."""
    (tmp_path / "big.py").write_bytes(b"#" * (10 << 20))
    with pytest.raises(StateError, match="Flower"):
        bundle_with(tmp_path)
