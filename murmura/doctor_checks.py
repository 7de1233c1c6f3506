"""What `murmura doctor` looks at wherever it runs: each check is one function, and has one result.

A check is given what it judges, so that its failure can be tested on a healthy machine.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from shared.counting import counted
from shared.errors import FederationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LIBRARIES = ("murmura", "flwr", "torch", "opacus")
FLOWER = ("1.41", "1.42")  # its private modules are used
LEAST_FREE, FEW_FREE = 200 << 20, 2 << 30  # bytes
FEW_DAYS = 21.0
# Flower takes a signature at most so long before its time, and so long after.
MOST_AHEAD_S, MOST_BEHIND_S, CLOCKS_AGREE_S = 5.0, 300.0, 3.0
_DAY_S = 86400.0


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """What was found of one thing.

    Attributes:
        name: What was looked at.
        level: How bad it is.
        text: What was found.
        advice: What to do about it; "" where nothing is to be done.
    """

    name: str
    level: Level
    text: str
    advice: str = ""


class Home(Protocol):
    """What is asked of either home."""

    @property
    def root(self) -> Path:
        """Its folder."""

    def check(self) -> None:
        """Raise StateError unless it is whole and its owner's alone."""


def ok(name: str, text: str) -> Check:
    """Nothing is wrong."""
    return Check(name, Level.OK, text)


def warn(name: str, text: str, advice: str) -> Check:
    """It works, and may soon not."""
    return Check(name, Level.WARN, text, advice)


def fail(name: str, text: str, advice: str) -> Check:
    """It does not work."""
    return Check(name, Level.FAIL, text, advice)


def judged(name: str, look: Callable[[], str], advice: str) -> Check:
    """Ok with what `look` returns; what it raises on purpose is a failure with its text."""
    try:
        return ok(name, look())
    except (FederationError, OSError) as error:
        return fail(name, " ".join(str(error).split()), advice)


def permissions(home: Home, command: str) -> Check:
    """A home that is whole, and its owner's alone.

    Args:
        home: A server's or a site's.
        command: The one that makes such a home.
    """

    def look() -> str:
        home.check()
        return f"{home.root} is its owner's alone"

    return judged("home", look, f"chmod -R go-rwx {home.root}; without a home: {command}")


def disk(folder: Path, free: int | None = None) -> Check:
    """Room for logs, checkpoints, ledger."""
    left = shutil.disk_usage(folder).free if free is None else free
    text = f"{left / (1 << 30):.1f} GiB free in {folder}"
    if left < LEAST_FREE:
        return fail("disk", text, "make room: a ledger or log that cannot be written stops all")
    if left < FEW_FREE:
        return warn("disk", text, "make room before the next run")
    return ok("disk", text)


def certificate(days: float, renewal: str) -> Check:
    """How long it counts.

    Args:
        days: That are left.
        renewal: The command that renews it.
    """
    if days <= 0.0:
        return fail("certificate", "it has ended", f"{renewal}; a site whose has ended joins anew")
    left = f"{counted(round(days), 'day')} left"
    if days < FEW_DAYS:
        return warn("certificate", left, f"it should be renewed by now: {renewal}")
    return ok("certificate", left)


def clock(ahead_s: float) -> Check:
    """This machine's against the server's."""
    text = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the server's"
    if not -MOST_BEHIND_S < ahead_s < MOST_AHEAD_S:
        return fail("clock", text, "set the clock (NTP): signed requests of another time count not")
    if abs(ahead_s) > CLOCKS_AGREE_S:
        return warn("clock", text, "set the clock (NTP)")
    return ok("clock", "as the server's")


def installed() -> dict[str, str]:
    """Versions of what results depend on; "" for what is not there."""
    return {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def versions(own: Mapping[str, str]) -> Check:
    """What is installed here, against what this Murmura was made for."""
    text = ", ".join(f"{name} {version or 'missing'}" for name, version in own.items())
    if missing := [name for name, version in own.items() if not version]:
        return fail("versions", text, f"install {', '.join(missing)}")
    if not any(own["flwr"].startswith(f"{minor}.") for minor in FLOWER):
        return fail("versions", text, f"install flwr {' or '.join(FLOWER)}, and no other")
    return ok("versions", text)


def same_versions(own: Mapping[str, str], servers: Mapping[str, str]) -> Check:
    """This site's software against the server's, as its health tells it."""
    theirs = {name: servers.get(name, "") for name in ("murmura", "flwr")}
    text = ", ".join(f"{name} {version or 'not told'}" for name, version in theirs.items())
    if theirs["flwr"] and theirs["flwr"] != own["flwr"]:
        return fail("server's versions", text, f"install flwr {theirs['flwr']} here, or there")
    if theirs["murmura"] and theirs["murmura"] != own["murmura"]:
        return warn(
            "server's versions",
            text,
            f"this site has {own['murmura']}: the server's bundles need `murmura client approve`",
        )
    return ok("server's versions", text)


def gpu(driver: str, build: str, usable: bool) -> Check:
    """The driver against what torch was built for.

    Args:
        driver: Version of the machine's driver; "": it has none.
        build: CUDA version of the torch that is installed; "": built for the CPU alone.
        usable: Whether torch can use a GPU.
    """
    if usable:
        return ok("gpu", f"torch for CUDA {build}, driver {driver or 'of another kind'}")
    if not driver:
        return ok("gpu", "none; the CPU trains")
    if not build:
        return warn(
            "gpu", f"driver {driver}, torch for the CPU alone", "install torch built for CUDA"
        )
    return warn(
        "gpu",
        f"driver {driver} is not usable by torch for CUDA {build}",
        "update the driver, or install torch built for an older CUDA; until then the CPU trains",
    )


def this_gpu() -> Check:
    """Of this machine."""
    import torch  # noqa: PLC0415 - slow

    found = Path("/proc/driver/nvidia/version")
    words = found.read_text().split() if found.exists() else []
    driver = next((word for word in words if word[0].isdigit() and "." in word), "")
    return gpu(driver, torch.version.cuda or "", torch.cuda.is_available())


def audit_log(path: Path, read_key: Callable[[], "Ed25519PublicKey"]) -> Check:
    """Whether nobody changed it."""
    from shared.audit_check import verify  # noqa: PLC0415 - slow

    if not path.exists():
        return ok("audit log", "empty")

    def look() -> str:
        found = verify(path, read_key())
        if not found.intact:
            raise FederationError(f"broken at line {found.line}: {found.flaw}; {found.text}")
        return f"{counted(found.head.n, 'entry', 'entries')}, whole"

    return judged(
        "audit log", look, "find out who changed it; move it aside, or nothing starts or leaves"
    )


def days_until(expires: float, now: float) -> float:
    """Days between two times."""
    return (expires - now) / _DAY_S
