"""What a worker answers, served in this process: the same numbers as without a socket."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from client import worker as worker_module
from client.in_process import InProcess
from client.remote import Remote
from client.site import ThisSite
from client.worker_pb2 import Hello, Numbers
from client.worker_process import WorkerFailed
from client.worker_wire import METHODS, SERVICE
from shared.config import RunConfig
from shared.partition import partition_spec
from shared.task_settings import Site
from tests.client.test_queries import asked, private
from tests.client.test_session import RAW, instruction

CONFIG = RunConfig.from_run_config(RAW)


class Direct:
    """Asks a worker that runs in this process."""

    def __init__(self, path: Path) -> None:
        self.channel = grpc.insecure_channel(f"unix:{path}")
        self.timeouts: list[float] = []
        self.answer: Numbers | None = None

    def ask(self, method: str, request: Any, timeout_s: float) -> Any:
        """The answer, or what it was told to give."""
        self.timeouts.append(timeout_s)
        if self.answer is not None:
            return self.answer
        call = self.channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=METHODS[method][1].FromString,
        )
        return call(request, timeout=timeout_s)


@pytest.fixture
def direct(tmp_path: Path) -> Iterator[Direct]:
    """A worker's server on a Unix socket."""
    server = worker_module.serve(str(tmp_path / "w"), 1 << 24)
    found = Direct(tmp_path / "w")
    yield found
    found.channel.close()
    server.stop(None).wait()


def part(config: RunConfig, index: int = 1) -> ThisSite:
    """Of a demonstration."""
    site = Site(index=index, partition=partition_spec(config.population))
    return ThisSite(client_id=f"site-{index:06d}", site=site, data_dir=None)


def remote(config: RunConfig, direct: Direct) -> Remote:
    """Computing by it."""
    return Remote(config, direct, 30.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("unit", ["record", "client"])
def test_an_update_is_the_one_of_this_process(direct: Direct, unit: str) -> None:
    """Bit for bit, of the right site."""
    config = RunConfig.from_run_config({**RAW, "privacy.unit": unit, "privacy.delta": 0.01})
    there = remote(config, direct).update(part(config), instruction())
    here = InProcess(config).update(part(config), instruction())
    assert (there.dtype, there.tobytes()) == (here.dtype, here.tobytes())


def test_rows_are_those_of_this_process(direct: Direct) -> None:
    """Shape and bits; also where there is a normalisation."""
    config = private({})
    question = asked(config, "statistics", 1)
    there = remote(config, direct).rows(part(config), question)
    assert there.tobytes() == InProcess(config).rows(part(config), question).tobytes()
    assert there.shape[1] == 3


def test_a_worker_answers_no_longer_than_the_server_waits(direct: Direct) -> None:
    """Nor longer than its site lets it."""
    config = RunConfig.from_run_config({**RAW, "cohort.timeout_s": 5.0})
    remote(config, direct).update(part(config), instruction())
    remote(CONFIG, direct).update(part(CONFIG), instruction())
    assert direct.timeouts == [5.0, 30.0]


def test_a_part_that_there_is_not_is_an_error_there(direct: Direct) -> None:
    """Which the guard sees as one of the worker's."""
    with pytest.raises(grpc.RpcError, match="a part of the population"):
        remote(CONFIG, direct).update(part(CONFIG, 3), instruction())


def test_a_site_with_data_of_its_own_names_the_folder(direct: Direct, tmp_path: Path) -> None:
    """Which this task does not read, and says so."""
    own = ThisSite(client_id="a", site=Site(index=0, partition=None), data_dir=tmp_path)
    with pytest.raises(grpc.RpcError, match="reads no folder"):
        remote(CONFIG, direct).update(own, instruction())


def test_an_answer_that_is_no_array_is_the_workers_failure(direct: Direct) -> None:
    """It is foreign code's word."""
    direct.answer = Numbers(values=b"123")
    with pytest.raises(WorkerFailed, match="whole rows"):
        remote(CONFIG, direct).update(part(CONFIG), instruction())


def test_it_greets_when_everything_is_loaded(direct: Direct) -> None:
    """By its process."""
    assert direct.ask("Greet", Hello(), 10.0).process == os.getpid()
