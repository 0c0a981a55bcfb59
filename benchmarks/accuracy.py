"""How far the native engine's sigmoid and tanh are from the exact values, over all 2^32 floats or every K-th.

    python benchmarks/accuracy.py [--every K] [--engine native]

The exact values are computed in double precision, where their error is 1e-9 of a float's unit in the last place (ULP).
All floats take some minutes.
"""

import argparse
import sys

import numpy as np

from compuerta import recurrence
from compuerta.cli import bench
from compuerta.recurrence.binding import Library, load

STRETCH = 1 << 22


def exact(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return sigmoid and tanh of float32 numbers in float64."""
    wide = x.astype(np.float64)
    s = np.exp(-np.abs(wide))
    return np.where(wide < 0, s, 1.0) / (1.0 + s), np.tanh(wide)


def ulps(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the distance in units of the last place of the float nearest to the exact value."""
    return np.abs(got.astype(np.float64) - wanted) / np.spacing(np.abs(wanted.astype(np.float32))).astype(np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="look at every K-th float only")
    parser.add_argument("--engine", default="native")
    options = parser.parse_args()
    recurrence.use_engine(options.engine)
    library, (variant, _) = load(), bench.variant()
    if not isinstance(library, Library) or variant is None:
        raise SystemExit(f"{options.engine} is not the native engine")
    worst = {"sigmoid": (0.0, 0.0), "tanh": (0.0, 0.0)}
    lost = 0
    for start in range(0, 1 << 32, STRETCH * options.every):
        bits = np.arange(start, min(start + STRETCH * options.every, 1 << 32), options.every, dtype=np.uint64)
        x = bits.astype(np.uint32).view(np.float32)
        number = ~np.isnan(x)
        for what, (name, wanted) in enumerate(zip(worst, exact(x), strict=True)):
            got = x.copy()
            library.activate(variant, 32, what, got.ctypes.data, got.size)
            lost += int((~np.isnan(got[~number])).sum())
            if number.any():
                off = ulps(got[number], wanted[number])
                k = int(off.argmax())
                if not off[k] <= worst[name][0]:
                    worst[name] = float(off[k]), float(x[number][k])
        if sys.stderr.isatty():
            print(f"\r{start / 2**32:.0%}", end="", file=sys.stderr)
    for name, (off, at) in worst.items():
        print(f"{name}: at most {off:.3f} ULP, at {at:.9g}")
    print(f"NaN not kept: {lost}")


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
