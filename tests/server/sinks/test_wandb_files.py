"""What the real wandb writes offline: the figures, each once, and nothing of the machine."""

import json
import struct
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.server.sinks.test_sinks import recorder
from tests.server.test_recording import event

_HEADER, _BLOCK = 7, 32768  # bytes, of LevelDB's log format
_WHOLE, _LAST = 1, 4


def contents(path: Path) -> Iterator[bytes]:
    """Records of a `.wandb` file, put together; each part has checksum, length and kind."""
    content, place, parts = path.read_bytes(), _HEADER, b""
    while place + _HEADER <= len(content):
        if (left := _BLOCK - place % _BLOCK) < _HEADER:
            place += left
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + _HEADER])
        parts += content[place + _HEADER : place + _HEADER + length]
        place += _HEADER + length
        if kind in (_WHOLE, _LAST):
            yield parts
            parts = b""


def records(path: Path) -> dict[str, list[Any]]:
    """Of a run that is over, by kind."""
    # The module has these by the version of protobuf that is installed; types cannot follow.
    kind_of_record: Any = import_module("wandb.proto.wandb_internal_pb2").Record
    found: dict[str, list[Any]] = {}
    for content in contents(path):
        record = kind_of_record.FromString(content)
        kind = record.WhichOneof("record_type")
        found.setdefault(kind, []).append(getattr(record, kind))
    return found


def whole(path: Path) -> dict[str, list[Any]]:
    """The same, once wandb's own process has put the end there, which may be after `finish`."""
    deadline = time.monotonic() + 60
    while "exit" not in (found := records(path)):
        assert time.monotonic() < deadline, sorted(found)
        time.sleep(0.1)
    return found


@pytest.mark.slow
def test_offline_files_hold_the_figures_and_nothing_of_the_machine(tmp_path: Path) -> None:
    """In the run folder, under its own name; nobody is asked, and no seed or path is told."""
    target = recorder(tmp_path, wandb="offline")
    for number in (1, 2):
        target.record(event(number, metrics={"recall": 0.5 * number, "rmse": float("inf")}))
    target.close()
    (path,) = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    found = whole(path)
    lines = [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in line.item}
        for line in found["history"]
    ]
    assert [line["metrics/recall"] for line in lines] == [0.5, 1.0]
    assert [(line["_step"], "metrics/rmse" in line) for line in lines] == [(1, False), (2, False)]
    assert all({"loss", "accuracy", "epsilon"} <= set(line) for line in lines)
    (run,) = found["run"]
    assert (run.display_name, run.host) == ("run", "")
    settings = {update.key for update in run.config.update}
    assert "privacy.unit" in settings
    assert not {"seed", "data.dir", "output.dir"} & settings
    assert str(tmp_path).encode() not in path.read_bytes()


def test_the_reader_above_puts_records_of_several_blocks_together(tmp_path: Path) -> None:
    """And skips the end of a block that holds no part."""
    first, second = b"a" * (_BLOCK - 2 * _HEADER - 3), b"b" * 40_000

    def part(content: bytes, kind: int) -> bytes:
        return bytes(4) + struct.pack("<HB", len(content), kind) + content

    room = _BLOCK - _HEADER
    parts = [bytes(_HEADER), part(first, 1), bytes(3), part(second[:room], 2)]
    (tmp_path / "x.wandb").write_bytes(b"".join([*parts, part(second[room:], 4)]))
    assert list(contents(tmp_path / "x.wandb")) == [first, second]
