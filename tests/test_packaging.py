"""What is installed, and what is sent to nodes: wheel and Flower app bundle (docs/adr/0001)."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from murmura.app_bundle import installed_bundle
from shared.config import RunConfig, defaults

ROOT = Path(__file__).parents[1]
PACKAGES = ("server", "client", "shared", "simulations", "murmura")
BUNDLED = ("server", "client", "shared")
BUNDLED_FILES = {"README.md", "LICENSE", "pyproject.toml"}
SMALL = (
    "--task=digits",
    "--rounds=1",
    "--seed=1",
    "-cpopulation.size=2",
    "-cpopulation.examples_per_client=20",
    "-ctraining.batch_size=4",
    "-cruntime.device=cpu",
    "-coutput.tensorboard=false",
)


def pyproject() -> dict[str, Any]:
    """The project's own description."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """TOML tables under dotted keys."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= (
            flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return found


def pinned() -> dict[str, str]:
    """Package -> version of constraints.txt, names as pip compares them."""
    lines = (ROOT / "constraints.txt").read_text().split()
    return {plain(name): version for name, _, version in (line.partition("==") for line in lines)}


def plain(name: str) -> str:
    """A package's name without its optional spellings."""
    return re.sub(r"[-_.]+", "-", name).lower()


def shipped_files(*packages: str) -> set[str]:
    """All files of `packages` in the checkout, but what Python made of them."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in packages
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def run(*command: str | Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    """A command in `folder` that sees nothing of this checkout."""
    hidden = ("PYTHONPATH", "VIRTUAL_ENV")
    env = {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run(  # noqa: S603 - commands of this file
        [str(part) for part in command],
        cwd=folder,
        env=env | {"OMP_NUM_THREADS": "1", "FLWR_HOME": str(folder), "FLWR_TELEMETRY_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    target = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", target, folder=ROOT)
    (built,) = target.glob("*.whl")
    return built


def environment(folder: Path) -> Path:
    """The Python of a new environment that has our dependencies and nothing of ours."""
    venv.create(folder, with_pip=False)
    (site,) = folder.glob("lib/python*/site-packages")
    # A .pth file of a folder named in a .pth file is not read, so no editable install is seen.
    places = dict.fromkeys(sysconfig.get_paths()[name] for name in ("purelib", "platlib"))
    (site / "dependencies.pth").write_text("\n".join(places) + "\n")
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The folder of the commands of an environment into which the wheel was installed."""
    python = environment(tmp_path_factory.mktemp("installed") / "venv")
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index"),
        wheel,
        folder=python.parent,
    )
    return python.parent


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app bundle, built from a copy with everything that must not travel in it."""
    app = tmp_path_factory.mktemp("build") / "murmura-app"
    app.mkdir()
    for folder in (*PACKAGES, "tests", "docs"):
        ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
        shutil.copytree(ROOT / folder, app / folder, ignore=ignored)
    for name in (*BUNDLED_FILES, ".gitignore", "CHANGELOG.md", "Makefile"):
        shutil.copy(ROOT / name, app / name)
    run(Path(sysconfig.get_path("scripts")) / "flwr", "build", "--app", app, folder=app.parent)
    (built,) = app.parent.glob("*.fab")
    return built


def test_flowers_run_config_repeats_every_default() -> None:
    """`flwr run` and `murmura simulate` start from the same values, of the same types."""
    ours = {key: (type(value), value) for key, value in defaults().items()}
    flowers = flat(pyproject()["tool"]["flwr"]["app"]["config"])
    assert {key: (type(value), value) for key, value in flowers.items()} == ours


def test_every_dependency_is_pinned_for_a_fresh_environment() -> None:
    """By an exact version, and by none of a particular build."""
    project = pyproject()["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    wanted = [*project["dependencies"], *extras]
    names = {plain(re.split(r"[<>=\[]", requirement)[0]) for requirement in wanted}
    # Not in what tests everything: a hub that is reached over the network.
    assert names - {"murmura", "flwr-datasets"} <= pinned().keys()
    odd = [version for version in pinned().values() if not re.fullmatch(r"[0-9.]+", version)]
    assert odd == ["0.0.1b1"]  # of cwevals, which wandb asks for by exactly this version


def test_torch_is_pinned_once_and_first_installed_by_that_pin() -> None:
    """The Makefile reads the pin; it repeats no version."""
    makefile = (ROOT / "Makefile").read_text()
    assert "torch" in pinned()
    assert "grep '^torch==' constraints.txt" in makefile
    assert pinned()["torch"] not in re.sub(r"#.*", "", makefile)


@pytest.mark.integration
@pytest.mark.slow
def test_the_wheel_holds_the_five_packages_whole_and_nothing_else(wheel: Path) -> None:
    """Data files too: images, schema and licences."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == shipped_files(*PACKAGES)
    assert "server/report/schema.json" in names
    assert "simulations/data/fashion_mnist/train-images-idx3-ubyte.xz" in names


@pytest.mark.integration
@pytest.mark.slow
def test_the_installed_command_runs_a_federation_without_the_checkout(
    installed: Path, tmp_path: Path
) -> None:
    """From a folder that knows nothing of the repository, even where one is called `server`."""
    (tmp_path / "server").mkdir()
    assert "simulate" in run(installed / "murmura", "--help", folder=tmp_path).stdout
    done = run(
        installed / "murmura", "simulate", *SMALL, "--json", "--run-id=tiny", folder=tmp_path
    )
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["status"] == "finished"
    assert (tmp_path / "runs" / "tiny" / "model.safetensors").exists()


@pytest.mark.integration
@pytest.mark.slow
def test_the_installed_packages_are_the_wheels_and_find_the_shipped_images(
    installed: Path, tmp_path: Path
) -> None:
    """Not those of the checkout that the tests run from."""
    code = (
        "import shared, shared.tasks.fashion_mnist as task;"
        "print(shared.__file__); print(task.find_images(task.embedded()))"
    )
    lines = run(installed / "python", "-c", code, folder=tmp_path).stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert Path(line).is_relative_to(installed.parent)


@pytest.mark.integration
@pytest.mark.slow
def test_the_bundle_that_murmura_run_sends_is_the_same_from_wheel_and_checkout(
    installed: Path, tmp_path: Path
) -> None:
    """Byte by byte: a site that has this version installed accepts it without a word."""
    code = (
        "import hashlib, murmura.app_bundle as b;"
        "print(hashlib.sha256(b.installed_bundle()).hexdigest())"
    )
    (told,) = run(installed / "python", "-c", code, folder=tmp_path).stdout.splitlines()
    assert told == hashlib.sha256(installed_bundle()).hexdigest()


@pytest.mark.integration
@pytest.mark.slow
def test_the_app_bundle_holds_what_nodes_need_and_nothing_else(bundle: Path) -> None:
    """server, client and shared whole; no simulation, no test, no document but the README."""
    with zipfile.ZipFile(bundle) as archive:
        names = {name for name in archive.namelist() if not name.startswith(".info/")}
    # Flower's bundle takes some kinds of files only; these two are for people and for protoc.
    travelling = {name for name in shipped_files(*BUNDLED) if not name.endswith((".proto", ".pyi"))}
    assert names == travelling | BUNDLED_FILES


@pytest.mark.integration
@pytest.mark.slow
def test_the_app_bundle_works_where_nothing_else_of_ours_is_installed(
    bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Both apps load from the unpacked bundle, as a node loads them, and know its run config."""
    unpacked = tmp_path_factory.mktemp("node") / "bundle"
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(unpacked)
    python = environment(tmp_path_factory.mktemp("bare") / "venv")
    code = (
        f"import sys; sys.path.insert(0, {str(unpacked)!r});"
        "import server.app, client.app, shared;"
        "print(type(server.app.app).__name__, type(client.app.app).__name__, shared.__file__)"
    )
    done = run(python, "-c", code, folder=unpacked.parent)
    server_app, client_app, place = done.stdout.split()
    assert (server_app, client_app) == ("ServerApp", "ClientApp")
    assert Path(place).is_relative_to(unpacked)
    told = tomllib.loads((unpacked / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    assert RunConfig.from_run_config(flat(told["config"])) == RunConfig()
