"""LSTM and GRU against PyTorch and ONNX Runtime, over a grid of sizes, in one run.

    python benchmarks/recurrence.py [--threads 1] [--dtype float32] [--quick] [--json FILE]

All have the same weights, and their outputs and gradients are compared before anything is timed. Times are medians in
microseconds; ratios are peer / ours, so that over 1 we are faster. Sizes: T steps, N rows, F inputs, H units.
"""

# Before NumPy: see threads.py.
from threads import THREADS

# isort: split
import argparse
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import peers
from peers import onnxruntime, torch

import compuerta

#: T, N, F, H
FORWARD = [
    (1, 1, 16, 32),
    (1, 1, 64, 128),
    (1, 1, 256, 512),
    (100, 1, 16, 32),
    (100, 1, 64, 128),
    (100, 1, 128, 256),
    (100, 1, 256, 512),
    (100, 8, 64, 128),
    (100, 32, 16, 32),
    (100, 32, 64, 128),
    (100, 32, 128, 256),
    (100, 32, 256, 512),
    (100, 128, 64, 128),
]
STREAM = [cell for cell in FORWARD if cell[:2] == (1, 1)]
TRAINING = [
    (50, 16, 16, 32),
    (50, 16, 64, 64),
    (50, 32, 64, 128),
    (100, 32, 128, 256),
    (100, 32, 256, 512),
    (100, 128, 64, 128),
]
OURS, TORCH, ORT = "compuerta", "PyTorch", "ONNX Runtime"
KINDS = {"LSTM": compuerta.LSTM, "GRU": compuerta.GRU}

Runs = dict[str, Callable[[], Any]]


class Case:
    """One layer of ours, its peers and their inputs."""

    def __init__(self, kind: str, cell: tuple[int, int, int, int], dtype: str) -> None:
        self.steps, self.rows, inputs, hidden = cell
        self.title = f"{kind} T={self.steps} N={self.rows} F={inputs} H={hidden}"
        rng = np.random.default_rng(0)
        self.layer = KINDS[kind](inputs, hidden, dtype=dtype, rng=rng)
        for name, shape in self.layer.parameters.shapes.items():
            if len(shape) == 1:  # random biases, so that a bias in the wrong place shows
                self.layer.parameters[name] = rng.normal(scale=0.3, size=shape)
        self.x = rng.normal(size=(self.rows, self.steps, inputs)).astype(dtype)
        self.dy = rng.normal(size=(self.rows, self.steps, hidden)).astype(dtype)
        self.x_time_first = np.ascontiguousarray(self.x.swapaxes(0, 1))
        self.state = [np.zeros((1, self.rows, hidden), dtype) for _ in self.layer.parts]
        if torch is not None:
            self.torch = peers.to_torch(self.layer)
            self.torch_x = torch.from_numpy(self.x_time_first)
            states = [torch.from_numpy(part) for part in self.state]
            self.torch_state = tuple(states) if len(states) > 1 else states[0]
        # ONNX Runtime has these operators in float32 only.
        self.session = peers.to_onnx(self.layer) if onnxruntime is not None and dtype == "float32" else None
        self.feed = {"X": self.x_time_first, **dict(zip(("h0", "c0"), self.state, strict=False))}

    def forward(self) -> Runs:
        """A whole sequence, outputs and final state."""
        layer, x = self.layer, self.x
        runs: Runs = {OURS: lambda: layer(x)}
        y = np.ascontiguousarray(layer(x)[0].swapaxes(0, 1))
        if torch is not None:
            runs[TORCH] = lambda: self.torch(self.torch_x, self.torch_state)
            with torch.inference_mode():
                peers.check(f"{self.title}, PyTorch", y, runs[TORCH]()[0].numpy())
        if self.session is not None:
            runs[ORT] = lambda: self.session.run(None, self.feed)
            peers.check(f"{self.title}, ONNX Runtime", y, runs[ORT]()[0][:, 0])
        return runs

    def stream(self) -> Runs:
        """One step that goes on from the one before; each keeps the state in its own way."""
        stream, x = self.layer.stream(), self.x[0, 0]
        runs: Runs = {OURS: lambda: stream(x)}
        if torch is not None:
            carried = self.torch_state

            def torch_step() -> None:
                nonlocal carried
                _, carried = self.torch(self.torch_x, carried)

            runs[TORCH] = torch_step
        if self.session is not None:
            feed = dict(self.feed)

            def session_step() -> None:
                _, *state = self.session.run(None, feed)
                feed.update(zip(("h0", "c0"), state, strict=False))

            runs[ORT] = session_step
        return runs

    def training(self) -> Runs:
        """Forward and backward: gradients of all parameters and of x, weights packed anew as after an update."""
        layer, x, dy = self.layer, self.x, self.dy
        gradient = np.empty(layer.parameters.size, layer.dtype)

        def ours() -> Any:
            layer.parameters.writable()
            _, _, tape = layer.forward(x, record=True)
            return layer.backward(tape, dy, out=gradient)

        runs: Runs = {OURS: ours}
        if torch is not None:
            torch_x = self.torch_x.clone().requires_grad_()
            torch_dy = torch.from_numpy(np.ascontiguousarray(dy.swapaxes(0, 1)))

            def theirs() -> None:
                self.torch.zero_grad()
                torch_x.grad = None
                y, _ = self.torch(torch_x)
                y.backward(torch_dy)

            runs[TORCH] = theirs
            grads = ours()
            theirs()
            peers.check(f"{self.title}, dx", grads.x, torch_x.grad.numpy().swapaxes(0, 1))
            for name, theirs_name in (("w_x_l0", "weight_ih_l0"), ("w_h_l0", "weight_hh_l0"), ("b_l0", "bias_ih_l0")):
                peers.check(f"{self.title}, {name}", grads[name], getattr(self.torch, theirs_name).grad.numpy())
        return runs


def measure(
    what: str, kind: str, cells: list[tuple[int, int, int, int]], dtype: str, options: dict[str, Any]
) -> list[dict[str, Any]]:
    """Print one table as it is made and return its rows."""
    names = [OURS]
    names += [TORCH] if torch is not None else []
    names += [ORT] if onnxruntime is not None and what != "training" and dtype == "float32" else []
    print(f"\n{kind}, {what}, {dtype}, microseconds\n")
    found = []
    for cell in cells:
        case = Case(kind, cell, dtype)
        runs = getattr(case, what)()
        if torch is not None and what != "training":
            with torch.inference_mode():
                times = peers.alternate(runs, **options)
        else:
            times = peers.alternate(runs, **options)
        found.append({"kind": kind, "what": what, "cell": cell, **{name: times[name] * 1e6 for name in names}})
    head = ["T, N, F, H", *names, *(f"{name} / ours" for name in names[1:])]
    rows = [
        [", ".join(map(str, r["cell"])), *(f"{r[n]:,.1f}" if r[n] < 100 else f"{r[n]:,.0f}" for n in names)]
        + [f"{r[n] / r[OURS]:.2f}" for n in names[1:]]
        for r in found
    ]
    print(peers.table(head, rows), flush=True)
    return found


def verdict(title: str, rows: list[dict[str, Any]], least: float) -> str:
    """Return one line: in how many cells PyTorch / ours is at least ``least``, and the worst cell."""
    ratios = {", ".join(map(str, row["cell"])): row[TORCH] / row[OURS] for row in rows}
    good = sum(ratio >= least for ratio in ratios.values())
    worst = min(ratios, key=lambda cell: ratios[cell])
    word = "holds" if good == len(ratios) else "NOT yet"
    return f"{word:8}{title}: {good} of {len(ratios)} cells; the least PyTorch / ours is {ratios[worst]:.2f} at {worst}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=THREADS, help="of every library (default: %(default)s)")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--kind", choices=tuple(KINDS), help="one kind only")
    parser.add_argument("--what", choices=("forward", "stream", "training"), help="one table only")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a first look, noisier")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    timing = {"rounds": 3, "seconds": 0.005} if options.quick else {"rounds": 9, "seconds": 0.02}

    print(peers.machine_line())
    for line in peers.missing():
        print(line)
    if options.dtype == "float64" and onnxruntime is not None:
        print("ONNX Runtime runs these operators in float32 only and is left out.")
    rows = []
    for kind in KINDS:
        for what, cells in (("forward", FORWARD), ("stream", STREAM), ("training", TRAINING)):
            if options.kind in (None, kind) and options.what in (None, what):
                rows += measure(what, kind, cells, options.dtype, timing)

    if torch is not None:
        print()
        for kind in KINDS:
            mine = [row for row in rows if row["kind"] == kind]
            step = [row for row in mine if row["cell"][0] == 1]
            for what in ("forward", "stream"):
                part = [row for row in step if row["what"] == what]
                if part:
                    print(verdict(f"{kind}, ahead of PyTorch at one step, {what}", part, 1.0))
            for what in ("forward", "training"):
                part = [row for row in mine if row["what"] == what and row["cell"][1] >= 32]
                if part:
                    print(verdict(f"{kind}, within 3x of PyTorch at N >= 32, {what}", part, 1 / 3))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": peers.machine(), "dtype": options.dtype, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
