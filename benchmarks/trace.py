"""Measure what a trace costs beside the plain forward pass: time, and memory in arrays of (T, N, H).

    python benchmarks/trace.py [--steps 1000] [--hidden 256] [--rows 1]

For LSTM and GRU on each engine, F = H, float32. "trace" is ``layer.trace(x)``; "read" is that and every gate and state
read once; "all" the pre-activations too. Times are the best of runs in turns, so that what disturbs one disturbs all.
Memory is the highest resident set of a fresh process during the trace, and to the end of reading everything one
quantity at a time, less what it held before; of 16 times the rows, so that what is not arrays does not count.
"""

# Before NumPy: see threads.py.
from threads import THREADS

# isort: split
import argparse
import json
import subprocess
import sys
import time

import numpy as np
from memory import forget, highest

import compuerta


def best(ways, seconds=2.0):
    """Return the least time of each way, run in turns."""
    least = dict.fromkeys(ways, float("inf"))
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            least[name] = min(least[name], time.perf_counter() - start)
    return least


def read(trace, keys):
    for key in keys:
        trace[key, 0]


def times(layer, x):
    keys = layer.kind.names
    z = ["z_" + block for block in layer.blocks]
    return best({
        "forward": lambda: layer(x),
        "trace": lambda: layer.trace(x),
        "read": lambda: read(layer.trace(x)[1], keys),
        "all": lambda: read(layer.trace(x)[1], [*keys, *z]),
    })  # fmt: skip


def memory(kind, engine, rows, steps, hidden):
    """Run by itself in a fresh process: MiB that a trace takes, and that reading it one quantity at a time takes."""
    compuerta.use_engine(engine)
    layer = getattr(compuerta, kind)(hidden, hidden, rng=0)
    x = np.random.default_rng(0).random((rows, steps, hidden), np.float32)
    layer(x[:, :2])
    held = forget()
    _, trace = layer.trace(x)
    after = highest() - held
    for key in layer.kind.names:
        trace[key, 0]
    for block in layer.blocks:
        trace["z_" + block, 0]
    print(json.dumps({"trace": after, "read": highest() - held}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--memory", nargs=2, metavar=("KIND", "ENGINE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        memory(*given.memory, given.rows, given.steps, given.hidden)
        return
    print(f"T={given.steps} N={given.rows} H={given.hidden} float32, {THREADS} thread(s); arrays of (T, N, H)")
    print(f"{'':14}{'forward':>10}{'trace':>8}{'read':>8}{'all':>8}   {'memory':>7}{'read':>7}")
    x = np.random.default_rng(0).random((given.rows, given.steps, given.hidden), np.float32)
    for engine in [name for name in ("native", "numpy") if name in compuerta.recurrence.engines()]:
        compuerta.use_engine(engine)
        for kind in ("LSTM", "GRU"):
            took = times(getattr(compuerta, kind)(given.hidden, given.hidden, rng=0), x)
            ratios = "".join(f"{took[name] / took['forward']:7.2f}x" for name in ("trace", "read", "all"))
            words = [sys.executable, __file__, "--memory", kind, engine, "--rows", str(given.rows * 16),
                     "--steps", str(given.steps), "--hidden", str(given.hidden)]  # fmt: skip
            used = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
            unit = given.rows * 16 * given.steps * given.hidden * 4 / 2**20
            arrays = "".join(f"{used[name] / unit:7.1f}" for name in ("trace", "read"))
            print(f"{engine + ' ' + kind:14}{1e3 * took['forward']:7.2f} ms{ratios}   {arrays}")


if __name__ == "__main__":
    main()
