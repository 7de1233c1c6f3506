"""What the arithmetic of a round of `cnn` takes at the speed of torch's best matrix product.

    python benchmarks/arithmetic.py

Operations are torch's own count, of a forward and a backward pass. Beside it, what share of a
step's processor time its convolutions have, one thread, images laid out as a site lays them out.
"""

import json
import os
import sys
import time
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from client.pooling import pool_first

sys.path.insert(0, str(Path(__file__).parent / "peers"))
from works import LEARNING_RATE, WORKS

WORK = WORKS["cnn"]
SIZES, REPEATS, STEPS = (512, 1024, 2048, 3000), 10, 100


def fastest_product() -> float:
    """Operations a second of the best of a few square products, all threads."""
    torch.set_num_threads(os.cpu_count() or 1)
    best = 0.0
    for size in SIZES:
        left, right = torch.randn(size, size), torch.randn(size, size)
        for _ in range(REPEATS):
            started = time.perf_counter()
            left @ right
            best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def main() -> None:
    """One JSON line."""
    model = WORK.model()
    pool_first(model)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.rand(WORK.batch, 1, 28, 28).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (WORK.batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    with FlopCounterMode(display=False) as counted:
        step()
    operations = counted.get_total_flops() / WORK.batch * WORK.cohort * WORK.each
    best = fastest_product()
    torch.set_num_threads(1)
    for _ in range(STEPS):
        step()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(STEPS):
            step()
    spent = {row.key: row.self_cpu_time_total / STEPS / 1000 for row in seen.key_averages()}
    convolutions = sum(spent[name] for name in spent if "convolution" in name)
    print(json.dumps({
        "operations_of_a_round": operations, "operations_a_second": best,
        "seconds_at_that_speed": round(operations / best, 3),
        "step_ms": round(sum(spent.values()), 2), "of_it_convolutions_ms": round(convolutions, 2),
    }))  # fmt: skip


if __name__ == "__main__":
    main()
