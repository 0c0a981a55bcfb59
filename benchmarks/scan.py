"""Measure the scan of MinLSTM: plain steps against blocks, and against doubling the reach with every pass.

    python benchmarks/scan.py

Prints microseconds of each for T steps of M numbers, float32, the best of five; what is compared is checked to be equal
first. The limits in compuerta/recurrence/scan.py are read off this table.
"""

import timeit
from functools import partial

import numpy as np

from compuerta.recurrence import scan


def doubling(a, b, h0):
    """Hillis and Steele 1986: log T passes over everything; less Python, more work."""
    a, h, reach = a.copy(), b.copy(), 1
    h[0] += a[0] * h0
    while reach < len(h):
        h[reach:] = h[reach:] + a[reach:] * h[:-reach]
        a[reach:] = a[reach:] * a[:-reach]
        reach *= 2
    return h


WAYS = {"steps": scan.in_steps, "blocks": scan.in_blocks, "doubling": doubling}


def main():
    rng = np.random.default_rng(0)
    print(f"{'T':>6} {'M':>6} " + " ".join(f"{way:>10}" for way in WAYS) + "   steps / blocks")
    for steps in (32, 64, 128, 512, 2048, 8192):
        for numbers in (16, 64, 256, 1024, 4096):
            a, b = rng.random((2, steps, numbers), np.float32)
            h0, took, expected = rng.random(numbers, np.float32), [], None
            repeat = max(1, int(1e6 / (steps * numbers)))
            for way in WAYS.values():
                found = way(a, b, h0)
                expected = found if expected is None else expected
                assert np.allclose(found, expected, atol=1e-4)
                each = min(timeit.repeat(partial(way, a, b, h0), number=repeat, repeat=5)) / repeat
                took.append(1e6 * each)
            print(f"{steps:6} {numbers:6} " + " ".join(f"{t:10.0f}" for t in took) + f"   {took[0] / took[1]:.2f}")


if __name__ == "__main__":
    main()
