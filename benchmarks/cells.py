"""Tables of one layer over a grid of sizes, ours and the peers' side by side in this one process; run.py starts it.

All have the same weights, and their outputs and gradients are compared before anything is timed. Times are medians in
microseconds; ratios are peer / ours, so that over 1 we are faster. Sizes: T steps, N rows, F inputs, H units.
"""

# Before NumPy: see threads.py.
from threads import THREADS

# isort: split
import argparse
import json
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import peers
import tables
from peers import ONNX, torch

import compuerta
from compuerta.cli import bench
from compuerta.cli.bench import Limits, Size

OURS, ALONE, TORCH, ORT, BOUND = "compuerta", "1 thread", "PyTorch", "ONNX Runtime", "ORT bound"
#: Those that a goal counts: each called as its manual shows first.
PEERS = (TORCH, ORT)
KINDS = {"LSTM": compuerta.LSTM, "GRU": compuerta.GRU}
#: Table: what it times, in which numbers, its title.
TABLES = {
    "forward": ("forward", "float32", "a sequence forward"),
    "stream": ("stream", "float32", "one step of a stream"),
    "train": ("train", "float32", "forward and backward, all gradients"),
    "float64": ("train", "float64", "forward and backward, all gradients"),
}

Runs = dict[str, Callable[[], Any]]


# ---- what is asked for -----------------------------------------------------------------------------------------------


def goals(table: str, kind: str, size: Size, limited: bool) -> dict[str, float]:
    """Return the least of each figure that is asked for in one cell: ``ratio``, the faster peer's time / ours;
    ``share`` of one core's peak; ``scaling``, our time with one thread / ours with two. ``limited``: to AVX2."""
    _, rows, _, hidden = size
    if limited:
        return {"ratio": 1.0 if rows <= 8 else 0.9}
    if table == "forward" and size == (1, 1, 256, 512):
        return {}  # shown beside the stream of that size
    ratio = {
        "forward": 1.2 if rows <= 8 else 1.0,
        "stream": {32: 5.0, 128: 3.0, 512: 1.2}[hidden] if table == "stream" else 1.0,
        "train": 1.3,
        "float64": 4.0,
    }[table]
    asked = {"ratio": ratio if kind == "LSTM" else 1.0}
    share = {"forward": 0.85, "train": 0.8}.get(table)
    if share and kind == "LSTM" and THREADS == 1 and rows >= 32 and hidden >= 128:
        asked["share"] = share
    if THREADS == 2 and rows >= 32:
        asked["scaling"] = 1.7
    return asked


# ---- one cell --------------------------------------------------------------------------------------------------------


class Case:
    """One layer of ours, its peers and their inputs."""

    def __init__(self, kind: str, size: Size, dtype: str) -> None:
        self.steps, self.rows, inputs, hidden = size
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

    def runs(self, what: str) -> Runs:
        """Return the call of each library, checked against ours."""
        ours = bench.work(what, self.layer, self.x, self.dy)
        runs: Runs = {OURS: ours}
        if THREADS > 1 and self.rows > 1 and bench.variant()[1]:

            def alone() -> None:
                compuerta.set_num_threads(1)
                ours()
                compuerta.set_num_threads(THREADS)

            runs[ALONE] = alone
        return runs | getattr(self, f"_{what}")()

    def _forward(self) -> Runs:
        runs: Runs = {}
        y = self.layer(self.x)[0].swapaxes(0, 1)
        if torch is not None:
            runs[TORCH] = lambda: self.torch(self.torch_x, self.torch_state)
            with torch.inference_mode():
                peers.check(f"{self.title}, {TORCH}", y, runs[TORCH]()[0].numpy())
        if ONNX:
            session = peers.to_onnx(self.layer)
            feed = {"X": self.x_time_first, **dict(zip(("h0", "c0"), self.state, strict=False))}
            runs[ORT] = lambda: session.run(None, feed)
            peers.check(f"{self.title}, {ORT}", y, runs[ORT]()[0][:, 0])
        return runs

    def _stream(self) -> Runs:
        """One step that goes on from the one before; each keeps the state in its own way."""
        runs: Runs = {}
        stream = self.layer.stream()
        y = [stream(self.x[0, 0]) for _ in range(3)][-1]
        if torch is not None:
            carried = self.torch_state

            def torch_step() -> Any:
                nonlocal carried
                out, carried = self.torch(self.torch_x, carried)
                return out

            runs[TORCH] = torch_step
            with torch.inference_mode():
                peers.check(f"{self.title}, {TORCH}", y, [torch_step() for _ in range(3)][-1].numpy()[0, 0])
        if ONNX:
            for name, step in zip((ORT, BOUND), peers.onnx_steps(self.layer, self.x_time_first), strict=True):
                runs[name] = step
                peers.check(f"{self.title}, {name}", y, [step() for _ in range(3)][-1][0, 0, 0])
        return runs

    def _train(self) -> Runs:
        """Forward and backward: gradients of all parameters and of x."""
        if torch is None:
            return {}
        x = self.torch_x.clone().requires_grad_()
        dy = torch.from_numpy(np.ascontiguousarray(self.dy.swapaxes(0, 1)))

        def theirs() -> None:
            self.torch.zero_grad()
            x.grad = None
            y, _ = self.torch(x)
            y.backward(dy)

        theirs()
        grads = bench.work("train", self.layer, self.x, self.dy)()
        peers.check(f"{self.title}, dx", grads.x, x.grad.numpy().swapaxes(0, 1))
        for name, theirs_name in (("w_x_l0", "weight_ih_l0"), ("w_h_l0", "weight_hh_l0"), ("b_l0", "bias_ih_l0")):
            peers.check(f"{self.title}, {name}", grads[name], getattr(self.torch, theirs_name).grad.numpy())
        if "b_hn_l0" in self.layer.parameters:
            candidate = self.torch.bias_hh_l0.grad.numpy()[2 * self.layer.hidden_size :]
            peers.check(f"{self.title}, b_hn_l0", grads["b_hn_l0"], candidate)
        return {TORCH: theirs}


# ---- one table -------------------------------------------------------------------------------------------------------


def measure(table: str, kind: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Print one table and return its rows."""
    what, dtype, title = TABLES[table]
    sizes, gates = bench.WORKS[what], len(KINDS[kind].kind.blocks)
    itemsize = np.dtype(dtype).itemsize
    limits = Limits(8 * itemsize, THREADS, [weights(size, gates) * itemsize for size in sizes if size[1] == 1])
    seconds, rounds = (0.005, 3) if options.quick else (0.02, options.rounds)
    found = []
    limits.measure()
    for size in sizes:
        runs = Case(kind, size, dtype).runs(what)
        with torch.inference_mode() if torch is not None and what != "train" else nullcontext():
            # Threads of a pool that wait for work spin for some milliseconds, in the way of the next library's.
            times = bench.medians(runs, rounds, seconds, pause=0.02 if THREADS > 1 else 0.0)
        found.append((size, times))
    limits.measure()

    rows = []
    for size, times in found:
        row = {"table": table, "kind": kind, "dtype": dtype, "threads": THREADS, "limited": options.limited,
               "cell": size, "microseconds": {name: value * 1e6 for name, value in times.items()}}  # fmt: skip
        ours, got = times[OURS], {}
        theirs = [times[name] for name in PEERS if name in times]
        if theirs:
            got["ratio"] = min(theirs) / ours
        if ALONE in times:
            got["scaling"] = times[ALONE] / ours
        if size[1] >= 8:
            row["gflops"] = bench.flops(what, size, gates) / ours / 1e9
            if limits.peak(size, THREADS):
                got["share"] = row["gflops"] * 1e9 / limits.peak(size, THREADS)
        elif limits.reading[weights(size, gates) * itemsize]:
            row["gbytes"] = weights(size, gates, read=True) * itemsize / ours / 1e9
            row["share_of_reading"] = row["gbytes"] * 1e9 / limits.reading[weights(size, gates) * itemsize]
        asked = goals(table, kind, size, options.limited)
        rows.append({**row, **got, "goals": {name: [least, got.get(name)] for name, least in asked.items()}})

    names = [name for name in (OURS, ALONE, *PEERS, BOUND) if any(name in times for _, times in found)]
    limited = ", AVX2 only" if options.limited else ""
    print(f"\n### {kind}, {title}, {dtype}, {peers.threads()}{limited}; microseconds\n")
    print(tables.table(
        ["T, N, F, H", *names, *(f"{name} / ours" for name in names[1:]), "rate", "of the limit", "goals", "hold"],
        [shown(row, names) for row in rows],
    ))  # fmt: skip
    if BOUND in names:
        print(
            f"\n{BOUND}: not session.run but inputs, outputs and state in memory bound beforehand; no goal counts it."
        )
    if any(limits.peaks.values()):
        reading = ", ".join(f"{bench.kibibytes(size)} {limits.reading[size] / 1e9:.0f}" for size in bench.cache_sizes())
        peaks = ", ".join(f"{value / 1e9:.0f} ({count})" for count, value in limits.peaks.items())
        print(f"\nThe machine: FP peak in GFLOP/s (threads): {peaks}; one thread reads, GB/s: {reading}.", flush=True)
    machine = {"peak": limits.peaks, "reading": limits.reading}
    return [{**row, "limits": machine} for row in rows]


def weights(size: Size, gates: int, read: bool = False) -> int:
    """Return the numbers of weights that each step of one row has to read; ``read``: that all its steps read.

    Over a sequence those of the inputs are read for many steps at once, and only the recurrent ones step by step.
    """
    steps, _, inputs, hidden = size
    if steps == 1:
        return gates * hidden * (inputs + hidden)
    return gates * hidden * ((steps * hidden + inputs) if read else hidden)


def shown(row: dict[str, Any], names: list[str]) -> list[str]:
    """Return one row as text."""
    times = row["microseconds"]
    figure = {name: f"{v:,.1f}" if v < 100 else f"{v:,.0f}" for name, v in times.items()}
    ratio = {name: f"{v / times[OURS]:.2f}" for name, v in times.items()}
    rate, share = "", ""
    if "gflops" in row:
        rate, share = f"{row['gflops']:.0f} GFLOP/s", f"{100 * row['share']:.0f} %" if "share" in row else ""
    elif "gbytes" in row:
        rate, share = f"{row['gbytes']:.0f} GB/s", f"{100 * row['share_of_reading']:.0f} %"
    return [
        ", ".join(map(str, row["cell"])),
        *(figure.get(name, "") for name in names),
        *(ratio.get(name, "") for name in names[1:]),
        rate,
        share,
        tables.asked(row["goals"]),
        tables.verdict(row["goals"]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=THREADS, help="of every library (default: %(default)s)")
    parser.add_argument("--tables", default=",".join(TABLES), help="of %(default)s, parted by commas")
    parser.add_argument("--kind", choices=tuple(KINDS), help="one kind only")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a first look, noisier")
    parser.add_argument("--limited", action="store_true", help="everything was limited to AVX2 in the environment")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    print(peers.machine_line())
    for line in peers.missing():
        print(line)
    rows = []
    for table in options.tables.split(","):
        for kind in KINDS:
            if options.kind in (None, kind):
                rows += measure(table, kind, options)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": peers.machine(), "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
