"""Make the shipped subset of Fashion-MNIST from the full files: the first 10,000 and 2,000 images.

    python benchmarks/make_embedded_data.py /usr/share/datasets/fashion-mnist

The sets are published in random order, so the first rows are a sample; the rule is public and
looks at no label. Written as IDX files, compressed with xz, into simulations/data/fashion_mnist/.
"""

import argparse
import lzma
from pathlib import Path

import numpy as np

from shared.tasks.fashion_mnist import DEBIAN
from shared.tasks.idx import read_idx

TARGET = Path(__file__).parents[1] / "simulations" / "data" / "fashion_mnist"
COUNTS = {"train": 10_000, "t10k": 2_000}


def main() -> None:
    """Write the four files and print their sizes and class counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, nargs="?", default=DEBIAN)
    source = parser.parse_args().source
    TARGET.mkdir(parents=True, exist_ok=True)
    for part, count in COUNTS.items():
        for kind in ("images-idx3", "labels-idx1"):
            array = read_idx(source / f"{part}-{kind}-ubyte.gz")[:count]
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
            packed = lzma.compress(header + array.tobytes(), preset=9 | lzma.PRESET_EXTREME)
            path = TARGET / f"{part}-{kind}-ubyte.xz"
            path.write_bytes(packed)
            print(path.name, len(packed), "bytes")
            if array.ndim == 1:
                print("  examples of each class:", np.bincount(array).tolist())


if __name__ == "__main__":
    main()
