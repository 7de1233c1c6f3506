"""A bundle whose task does to its process what a test asks, and a worker for it."""

from pathlib import Path

from client.bundle import Bundle
from client.remote import Remote
from client.site import ThisSite
from client.site_settings import WorkerSettings
from client.worker_process import Worker, WorkerPlace
from shared.config import RunConfig
from shared.task_settings import Site
from tests.client.made_sites import made_bundle
from tests.client.test_session import RAW

TASK = b'''
import os, signal, socket, time
from pathlib import Path
from shared.tasks.digits import Digits

class Odd(Digits):
    """Reads `marks` beside its data, or nothing."""
    reads_folder = True
    def __init__(self, settings):
        self.folder = settings.data_dir
        super().__init__(settings)
    def site_data(self, site):
        what = (self.folder / "what").read_text()
        if what == "die once" and not (self.folder / "died").exists():
            (self.folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "sleep":
            time.sleep(600)
        if what == "raise":
            raise ValueError("patient 4711")
        if what == "look":
            raise ValueError("SEEN" + repr(look(self.folder)))
        from shared.task_settings import Site
        from shared.partition import PartitionSpec
        return super().site_data(Site(index=0, partition=PartitionSpec(clients=9)))

def look(folder):
    seen = {"environment": sorted(os.environ), "network": [], "uid": os.geteuid()}
    try:
        socket.create_connection(("127.0.0.1", int((folder / "port").read_text())), 1)
        seen["network"].append("loopback")
    except OSError:
        pass
    hidden = Path((folder / "hidden").read_text())
    seen["hidden"] = sorted(path.name for path in hidden.iterdir())
    for name, path in (("data", folder / "x"), ("scratch", Path.home() / "x")):
        try:
            path.write_text("x")
            seen[name] = "written"
        except OSError:
            seen[name] = "refused"
    status = Path("/proc/self/status").read_text()
    seen["capabilities"] = [l.split()[1] for l in status.splitlines() if l.startswith("CapEff")]
    return seen
'''
BUNDLE = Bundle(made_bundle(more={"client/odd.py": TASK}))
CONFIG = RunConfig.from_run_config(
    {**RAW, "task": "client.odd:Odd", "cohort.timeout_s": 120.0, "seed": 5}
)


def place(
    folder: Path, *, hidden: tuple[Path, ...] = (), answer_mib: int = 64, sandbox: str = "off"
) -> WorkerPlace:
    """What the worker finds; its data lie in `folder`/data."""
    (folder / "data").mkdir(exist_ok=True)
    settings = WorkerSettings(sandbox=sandbox, answer_mib=answer_mib)
    return WorkerPlace(
        settings=settings, hidden=hidden, data=folder / "data", log=folder / "worker.log"
    )


def computing(worker: Worker, longest_s: float = 120.0) -> Remote:
    """What asks it."""
    return Remote(CONFIG, worker, longest_s)


def site(folder: Path) -> ThisSite:
    """Whose data lie in `folder`/data."""
    whole = Site(index=0, partition=None)
    return ThisSite(client_id="site-000000", site=whole, data_dir=folder / "data")


def told(folder: Path, what: str) -> None:
    """What the task is to do when it is asked for its data."""
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "what").write_text(what)
