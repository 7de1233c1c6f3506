"""A whole federation on this machine: one server, three sites, one run, by the commands of users.

`make federation`, or `python examples/federation.py`. Every command is printed before it is run, so
that it can be typed on machines of one's own. Server and sites are processes of their own over
loopback: TLS both ways, each site behind its guard, updates summed under masks. The data are parts
of one public data set, which is what `--part` is for; a real site names its folder by `--data`.
"""

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SITES = 3
_ENDS = (signal.SIGTERM, signal.SIGHUP)
_SIGNALLED = 128  # a shell's exit status after a signal: so much more than its number
SETTINGS = (
    "--task", "digits", "--rounds", "3", "-c", "privacy.noise=distributed",
    "-c", "population.examples_per_client=400", "-c", "training.batch_size=120",
    "-c", "output.tensorboard=false",
)  # fmt: skip


class CommandFailed(Exception):  # noqa: N818 - what happened
    """A command ended with another status than 0.

    Attributes:
        status: Its exit status.
    """

    def __init__(self, words: Sequence[str], status: int) -> None:
        super().__init__(f"`murmura {shlex.join(words)}` ended with status {status}")
        self.status = status


@dataclass(frozen=True)
class Federation:
    """Where its server and its sites live.

    Attributes:
        folder: A home for each lies in it.
        seeded: Whether the sites allow runs whose noise can be repeated: for tests alone.
        quiet: Print no command.
        unit: Whose presence the sites' budgets count: runs with the other unit are refused.
        joined: Homes of the sites so far.
        founded: The server's home, once it is made: one that was there before is left alone.
    """

    folder: Path
    seeded: bool = False
    quiet: bool = False
    unit: str = "record"
    joined: list[Path] = field(default_factory=list)
    founded: list[Path] = field(default_factory=list)

    @property
    def server(self) -> Path:
        """The server's home."""
        return self.folder / "server"

    def murmura(self, *words: str, stdout: int | None = None) -> "subprocess.CompletedProcess[str]":
        """Print a command and run it, whatever becomes of it."""
        if not self.quiet:
            print(f"\n$ murmura {shlex.join(words)}", flush=True)
        with subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", "murmura", *words],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL if self.quiet and stdout is None else stdout,
            text=True,
        ) as process:
            try:
                found, _ = process.communicate()
            except BaseException:
                # All others are short, and what one of them starts must be there to be stopped.
                if words[0] == "run":
                    process.terminate()
                raise
        return subprocess.CompletedProcess(words, process.returncode, found)

    def do(self, *words: str) -> None:
        """A command that must go well."""
        if (status := self.murmura(*words).returncode) != 0:
            raise CommandFailed(words, status)

    def ask(self, *words: str) -> dict[str, Any]:
        """A command that must go well; the object that it prints."""
        done = self.murmura(*words, "--json", stdout=subprocess.PIPE)
        if done.returncode != 0:
            raise CommandFailed(words, done.returncode)
        if not self.quiet:
            print(done.stdout, end="", flush=True)
        content: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return content

    def start_server(self) -> None:
        """Keys, certificates and settings of a server, and its service."""
        home = ("--home", str(self.server))
        self.do(
            "server", "init", "--name", "localhost", "--listen", "127.0.0.1", "--port", "0",
            "--internal-port", "0", *home,
        )  # fmt: skip
        self.founded.append(self.server)
        self.do("server", "start", "--detach", *home)

    def join(self, number: int) -> None:
        """One more site: invited, joined."""
        name = f"site-{number:06d}"
        line = self.ask("server", "invite", name, "--home", str(self.server))["line"]
        home = self.folder / name
        epsilon = "1000" if self.seeded else "8"
        budget = ("--epsilon", epsilon, "--delta", "1e-5", "--unit", self.unit)
        seeded = ("--allow-seeded-runs",) if self.seeded else ()
        self.do(
            "client", "join", line, "--part", f"{number}/{SITES}", *budget, *seeded,
            "--home", str(home),
        )  # fmt: skip
        self.joined.append(home)

    def start_sites(self) -> None:
        """Each site accepts the list of all by its fingerprint, and starts its guard."""
        for home in self.joined:
            # Real operators read it to each other over the telephone.
            found = self.ask("client", "roster", "--home", str(home))["fingerprint"]
            self.do("client", "roster", "--accept", found, "--home", str(home))
            self.do("client", "start", "--detach", "--home", str(home))

    def stop(self) -> None:
        """Whatever runs of it, ends."""
        for home in self.joined:
            self.murmura("client", "stop", "--home", str(home))
        for home in self.founded:
            self.murmura("server", "stop", "--home", str(home))


@contextmanager
def running(
    folder: Path, *, seeded: bool = False, quiet: bool = False, unit: str = "record"
) -> Iterator[Federation]:
    """A server and three sites in `folder`, ready for runs; stopped at the end, also by an error.

    Args:
        folder: Must hold none yet.
        seeded: Whether runs may have a seed.
        quiet: Print no command.
        unit: Of the sites' budgets.
    """
    federation = Federation(folder, seeded, quiet, unit)
    try:
        federation.start_server()
        for number in range(SITES):
            federation.join(number)
        federation.start_sites()
        yield federation
    finally:
        federation.stop()


def play(folder: Path, settings: Sequence[str]) -> int:
    """The whole, once; the run's exit status."""
    with running(folder) as federation:
        done = federation.murmura("run", *settings, "--home", str(federation.server))
        found = sorted((federation.server / "runs").glob("*/report.html"))
    if done.returncode == 0 and found:
        print(f"\nthe privacy report: {found[-1]}")
    return done.returncode


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's form
    """Leave by an exception, so that server and sites are stopped on the way; once."""
    for again in _ENDS:
        signal.signal(again, signal.SIG_IGN)
    sys.exit(_SIGNALLED + number)


def main() -> int:
    """As the command line says; the exit status is that of whatever failed.

    What ends it, a signal too, ends server and sites.
    """
    for number in _ENDS:
        signal.signal(number, _end)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="for all homes; default: a new temporary one")
    parser.add_argument("settings", nargs="*", help="of `murmura run`, after --", default=SETTINGS)
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="murmura-federation-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return play(folder.resolve(), given.settings or SETTINGS)
    except CommandFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
