"""What the native engine costs beside itself: nothing may be a cliff. Each figure is a ratio of two of our own times.

    python benchmarks/engine.py

`silence`: a step of a stream long after the last input, when the state has decayed to nothing, beside one step with
inputs; and a sequence of inputs of 1e-40 beside one of zeros. Asked for: 1, with the native engine.

`variants`: each variant of the LSTM beside the plain cell, forward / forward and backward, on the native engine; those
below the line are NumPy's. Asked for: at most 1.3 for peepholes, coupled gates and a projection. With ONNX Runtime
there, its time over ours for relu in place of tanh; asked for: at least 1.
"""

# Before NumPy: see threads.py.
from threads import THREADS

# isort: split
import argparse
import time
from collections.abc import Callable

import numpy as np
import peers
from tables import table

import compuerta
from compuerta import GRU, LSTM
from compuerta.layers.stream import Stream


def fastest(work: Callable[[], object], seconds: float = 0.15) -> float:
    """Return the least time of one call: the processor's time of this thread, which others disturb least."""
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
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
        times_of_25 = []
        for _ in range(60):  # 6,000 steps, the fastest of four together each time
            times = []
            for _ in range(4):
                start = time.thread_time()
                steps(stream, quiet[:25])
                times.append(time.thread_time() - start)
            times_of_25.append(4 * min(times))
        tiny, none = (np.full((8, 100, 8), value, np.float32) for value in (1e-40, 0.0))
        ratio = fastest(lambda layer=layer, x=tiny: layer(x)) / fastest(lambda layer=layer, x=none: layer(x))
        rows.append([engine, kind.__name__, f"{float(np.median(times_of_25[20:])) / before:.2f}", f"{ratio:.2f}"])
    return rows


VARIANTS = {
    "peepholes": {"peepholes": True},
    "coupled": {"coupled": True},
    "no input gate": {"input_gate": False},
    "no forget gate": {"forget_gate": False},
    "no output gate": {"output_gate": False},
    "projection to a half": {"projection_size": "half"},
    "clip and cell clip": {"clip": 3.0, "cell_clip": 3.0},
    "relu for tanh": {"input_activation": "Relu", "output_activation": "Relu"},
    "hard sigmoid": {"gate_activation": "HardSigmoid"},
    "softsign": {"input_activation": "Softsign", "output_activation": "Softsign"},
    "full gate recurrence": {"full_gate_recurrence": True},
    "layer norm, gates": {"layer_norm": "gates"},
    "layer norm, c too": {"layer_norm": "cell"},
    "zoneout": {"zoneout": 0.1},
    "recurrent dropout": {"recurrent_dropout": 0.1},
    "weight drop": {"weight_drop": 0.1},
}
SIZES = ((1, 60, 10, 50), (32, 60, 10, 50), (32, 50, 64, 128))


def ours(name: str, size: tuple[int, ...]) -> tuple[Callable[[], object], Callable[[], object], LSTM, np.ndarray]:
    """Return the forward pass of one variant, a pass forward and back, the layer and its inputs."""
    n, t, features, hidden = size
    options = dict(VARIANTS.get(name, {}))
    if "projection_size" in options:
        options["projection_size"] = hidden // 2
    layer = LSTM(features, hidden, rng=0, **options)
    x = 0.3 * np.random.default_rng(0).standard_normal((n, t, features)).astype(np.float32)

    def train() -> object:
        y, _, record = layer.forward(x, record=True, rng=1)
        return layer.backward(record, y)

    return lambda: layer(x), train, layer, x


def variants(seconds: float = 0.05, turns: int = 5) -> list[list[str]]:
    """Return the rows of the table: all take turns, and the least time of each counts."""
    columns = []
    for size in SIZES:
        jobs = {name: ours(name, size)[:2] for name in ("plain", *VARIANTS)}
        best = {name: [np.inf, np.inf] for name in jobs}
        for _ in range(turns):
            for name, works in jobs.items():
                best[name] = [min(b, fastest(work, seconds)) for b, work in zip(best[name], works, strict=True)]
        columns.append({
            name: " / ".join(f"{mine / plain:.2f}" for mine, plain in zip(best[name], best["plain"], strict=True))
            for name in VARIANTS
        })  # fmt: skip
    return [[name, *(column[name] for column in columns)] for name in VARIANTS]


def relu_beside_onnx(size: tuple[int, ...], turns: int = 7) -> str:
    """Return ONNX Runtime's time over ours for an LSTM with relu, from the same file."""
    forward, _, layer, x = ours("relu for tanh", size)
    session = peers.to_onnx(layer)
    zeros = np.zeros((1, x.shape[0], layer.hidden_size), np.float32)
    feed = {"X": x.swapaxes(0, 1).copy(), **{value.name: zeros for value in session.get_inputs()[1:]}}
    theirs, mine = np.inf, np.inf
    for _ in range(turns):
        theirs = min(theirs, fastest(lambda: session.run(None, feed), 0.05))
        mine = min(mine, fastest(forward, 0.05))
    return (
        f"relu, N, T, F, H = {size}: ONNX Runtime {theirs * 1e6:.0f} us, ours {mine * 1e6:.0f} us, {theirs / mine:.2f}"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", default="silence,variants", help="parted by commas (default: all)")
    parser.add_argument("--threads", type=int, default=THREADS)
    tables = parser.parse_args().tables.split(",")
    compuerta.set_num_threads(1)
    if "silence" in tables:
        engines = [name for name in compuerta.recurrence.engines() if ":" not in name]
        print(
            table(["engine", "cell", "silence / burst", "1e-40 / zeros"], [row for e in engines for row in silence(e)])
        )
        compuerta.use_engine(engines[0])
    if "variants" in tables:
        print(table(["N, T, F, H", *map(str, SIZES)], variants()))
        for size in SIZES[:2]:
            print(relu_beside_onnx(size) if peers.ONNX else "ONNX Runtime is not installed and is left out")


if __name__ == "__main__":
    main()
