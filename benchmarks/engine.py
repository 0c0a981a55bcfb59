"""What the native engine costs beside itself: nothing may be a cliff. Each figure is a ratio of two of our own times.

    python benchmarks/engine.py

`silence`: a step of a stream long after the last input, when the state has decayed to nothing, beside one step with
inputs; and a sequence of inputs of 1e-40 beside one of zeros. Asked for: 1, with the native engine.
"""

# Before NumPy: see threads.py.
from threads import THREADS

# isort: split
import argparse
import time
from collections.abc import Callable

import numpy as np
from tables import table

import compuerta
from compuerta import GRU, LSTM
from compuerta.layers.stream import Stream

__all__ = ["THREADS"]


def fastest(work: Callable[[], object], seconds: float = 0.15) -> float:
    """Return the least time of one call."""
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def steps(stream: Stream, x: np.ndarray) -> None:
    """Take a step with each row of ``x``."""
    for row in x:
        stream(row)


def silence(engine: str) -> list[list[str]]:
    """Return the rows of the table for one engine."""
    compuerta.use_engine(engine)
    rows = []
    for kind in (LSTM, GRU):
        layer, rng = kind(8, 64, rng=0), np.random.default_rng(0)
        loud, quiet = rng.standard_normal((100, 8)).astype(np.float32), np.zeros((100, 8), np.float32)

        stream = layer.stream()
        before = fastest(lambda stream=stream, x=loud: steps(stream, x))
        slowest = 0.0
        for _ in range(60):  # 6,000 steps, the fastest of four together each time
            times = []
            for _ in range(4):
                start = time.perf_counter()
                steps(stream, quiet[:25])
                times.append(time.perf_counter() - start)
            slowest = max(slowest, 4 * min(times))
        tiny, none = (np.full((8, 100, 8), value, np.float32) for value in (1e-40, 0.0))
        ratio = fastest(lambda layer=layer, x=tiny: layer(x)) / fastest(lambda layer=layer, x=none: layer(x))
        rows.append([engine, kind.__name__, f"{slowest / before:.2f}", f"{ratio:.2f}"])
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    compuerta.set_num_threads(1)
    engines = [name for name in compuerta.recurrence.engines() if ":" not in name]
    print(table(["engine", "cell", "silence / burst", "1e-40 / zeros"], [row for e in engines for row in silence(e)]))


if __name__ == "__main__":
    main()
