"""What canaries cost: paired runs of a shortened default federation, with and without."""

import statistics
import sys
import tempfile
import time

from simulations.federation import simulate


def seconds(canaries: int, folder: str, name: str, task: str) -> float:
    """Wall time of one run."""
    started = time.perf_counter()
    simulate(
        {"task": task, "rounds": 5, "seed": 1, "audit.canaries": canaries, "runtime.device": "cpu",
         "output.dir": folder, "output.run_id": name, "output.tensorboard": False}
    )  # fmt: skip
    return time.perf_counter() - started


def main(task: str, pairs: int = 4) -> None:
    """Print each pair and the median of the ratios."""
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        seconds(0, folder, "warm", task)
        for pair in range(pairs):
            without = seconds(0, folder, f"without-{pair}", task)
            with_canaries = seconds(-1, folder, f"with-{pair}", task)
            ratios.append(with_canaries / without)
            print(f"{without:.2f} s without, {with_canaries:.2f} s with canaries")
    print(f"{task}: median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "fashion_mnist")
