"""What a round of secure aggregation costs its parties, beside the bare keystream that it needs.

    PYTHONPATH=. python benchmarks/secure_aggregation.py --clients 100 --dimension 1000000

All parties in one process, one thread, a tenth corrupt and a tenth dropped. Prints one JSON line:
milliseconds of a client (median), of its bare AES-256 keystream, of the server and of the committee
in all; bytes of an upload as a share of float32; whether the sum is the sum.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from shared.secagg.ring import packed_bytes
from tests.aggregation_rounds import clients

BITS = 20
T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[float, T]:
    """Milliseconds, and what came of it."""
    start = time.perf_counter()
    made = work()
    return 1e3 * (time.perf_counter() - start), made


def keystream(streams: int, size: int) -> float:
    """Milliseconds of that many bare streams, a chunk at a time."""
    chunk, buffer = bytes(1 << 17), bytearray((1 << 17) + 15)
    start = time.perf_counter()
    for _ in range(streams):
        encryptor = Cipher(AES(bytes(32)), CTR(bytes(16))).encryptor()
        for _ in range(-(-size // len(chunk))):
            encryptor.update_into(chunk, buffer)
    return 1e3 * (time.perf_counter() - start)


def main() -> None:
    """Play one round and print its costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--dimension", type=int, default=1_000_000)
    asked = parser.parse_args()
    generator = np.random.default_rng(0)
    setup, group = timed(lambda: clients(asked.clients))
    context = group.context(bits=BITS)
    lost = set(generator.choice(group.names, asked.clients // 10, replace=False).tolist())
    total = np.zeros(asked.dimension, dtype=np.int64)
    stages, masking = {}, []
    for name in group.names:
        vector = generator.integers(-99, 100, asked.dimension)
        took, stages[name] = timed(
            lambda name=name, vector=vector: group.ready[name].mask(context, vector)
        )
        sealing, _ = timed(lambda name=name: stages[name].upload)
        masking.append(took + sealing)
        total += vector * (name not in lost)
    adding, server = timed(lambda: group.collected(context, stages, lost))
    member_cost = []
    for member in server.collected.graph.committee:
        if member not in lost and not server.complete:
            took, answer = timed(lambda m=member: stages[m].unmask(server.request(m))[1])
            server.add(answer)
            member_cost.append(took)
    finishing, found = timed(server.finish)
    parameters = server.collected.graph.parameters
    upload = next(iter(stages.values())).upload
    shares = len(upload.commitments) + sum(map(len, upload.ciphertexts.values()))
    bare = keystream(parameters.degree + 1, 4 * asked.dimension)
    print(json.dumps({
        "clients": asked.clients, "dimension": asked.dimension, "degree": parameters.degree,
        "committee": parameters.committee_size, "setup_ms_all_clients": round(setup, 1),
        "client_ms": round(statistics.median(masking), 1),
        "client_keystream_ms": round(bare, 1),
        "server_collect_ms": round(adding, 1),
        "member_ms": round(statistics.median(member_cost), 1),
        "members_asked": len(member_cost),
        "server_unmask_ms": round(finishing, 1),
        "upload_of_float32": round(packed_bytes(asked.dimension, BITS) / (4 * asked.dimension), 3),
        "shares_of_upload": round(shares / packed_bytes(asked.dimension, BITS), 4),
        "exact": bool(np.array_equal(found, total)),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
