"""What a run ran on: versions, machine, code; written beside its results."""

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from shared.device import device_words
from shared.runtime_sections import RuntimeConfig

ROOT = Path(__file__).parents[1]
_PACKAGES = (
    "murmura",
    "flwr",
    "torch",
    "opacus",
    "dp-accounting",
    "cryptography",
    "grpcio",
    "numpy",
    "safetensors",
)
_CODE = ("client", "server", "shared")


def code_digest() -> str:
    """SHA-256 over the source files of client, server and shared."""
    total = hashlib.sha256()
    for package in _CODE:
        for path in sorted((ROOT / package).rglob("*.py")):
            total.update(f"{path.relative_to(ROOT).as_posix()}\0".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def git_commit() -> str:
    """Commit of the checkout this code lies in; "unknown" for an installed copy."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", "-C", str(ROOT), "rev-parse", "HEAD"],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def software() -> dict[str, str]:
    """Version of each package that the result depends on; "not installed" where it is not."""
    return {"python": platform.python_version()} | {name: _version(name) for name in _PACKAGES}


@cache  # a process goes on with what it has loaded, and each look reads a page of metadata
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"  # an app bundle on a node has no murmura package


def environment(runtime: RuntimeConfig) -> dict[str, Any]:
    """The content of environment.json."""
    return {
        "software": software(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": platform.processor(),
        "cpus": os.cpu_count(),
        "device": device_words(runtime.device, runtime.gpu_memory_fraction),
        "git_commit": git_commit(),
        "code_digest": code_digest(),
    }
