"""Sites whose guard is, for each message, a process of its own that may be killed.

The real ServerApp asks them through `tests.client.guarded_grid`; what their server would know
(what was given out, what came) lies in files, since a guard that dies takes its memory with it.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from client.guard import Guard
from client.kept import keep, kept
from client.letters import Letter, Received
from client.site_settings import SiteSettings
from tests.client.guarded_grid import FakeServer, GuardedSite
from tests.client.made_sites import settings_of
from tests.integration.faults.deaths import Install, in_child

Death = tuple[str, str, Install]  # kind of message, name, where


@dataclass
class FileServer(FakeServer):
    """Gives a message out once, and again to a guard that starts anew, as the server does."""

    folder: Path = Path()

    def offer(self, received: Received) -> None:
        """Have a message for the site."""
        keep(self.folder / "waiting", {"message": received.message, "tree": received.tree})

    def connect(self, known: int | None) -> int:
        """What was given out and not answered is asked again."""
        taken = self.folder / "taken"
        if taken.exists():
            taken.replace(self.folder / "waiting")
        return known or 7

    def receive(self) -> Received | None:
        """The next; none is left: the guard is to stop."""
        waiting = self.folder / "waiting"
        if not waiting.exists():
            self.stop.set()
            return None
        parts = kept(waiting)
        waiting.replace(self.folder / "taken")
        return Received(parts["message"], parts["tree"])

    def send(self, letter: Letter) -> None:
        """Keep every letter that ever came, at once."""
        number = len(list(self.folder.glob("letter-*")))
        parts = {"message": letter.message, "tree": letter.tree, **letter.objects}
        keep(self.folder / f"letter-{number:04d}", parts)
        (self.folder / "taken").unlink(missing_ok=True)
        (self.folder / "waiting").unlink(missing_ok=True)

    def letters(self) -> list[Letter]:
        """In the order in which they came."""
        found = [dict(kept(path)) for path in sorted(self.folder.glob("letter-*"))]
        return [Letter(parts.pop("message"), parts.pop("tree"), parts) for parts in found]


@dataclass
class ForkedSite(GuardedSite):
    """A home, and one process for each message."""

    deaths: list[Death] = field(default_factory=list)
    died_at: list[str] = field(default_factory=list)
    check: Callable[["ForkedSite"], None] = lambda _site: None

    def __post_init__(self) -> None:
        """Its server's files."""
        super().__post_init__()
        folder = self.home.root.parent / f"{self.home.root.name}-server"
        folder.mkdir()
        self.files = FileServer(self.overrides, self.stop, folder=folder)

    @property
    def settings(self) -> SiteSettings:
        """Its site.toml."""
        return settings_of(self.home)

    def serve(self) -> None:
        """Until nothing waits, however often the guard is killed."""
        self.files.offer(self.server.waiting.pop())
        self.files.contents = self.server.contents
        while True:
            due = next((death for death in self.deaths if death[0] == self.script.kind), None)
            status = in_child(lambda due=due: self._served(due))  # type: ignore[misc]
            if status == 0:
                break
            assert status == -signal.SIGKILL, f"a guard ended with status {status}"
            assert due is not None
            self.deaths.remove(due)
            self.died_at.append(due[1])
            self.check(self)
        for letter in self.files.letters():
            self.server.send(letter)

    def _served(self, due: Death | None) -> None:
        self.server, self.stop = self.files, self.files.stop
        self.stop.clear()
        self.start()
        if due is not None:
            due[2]()
        guard: Guard = self.guard
        guard.serve(None, lambda _: None)
