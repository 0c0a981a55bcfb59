"""``compuerta bench``: how fast the layers run here, beside what this machine's cores and caches can do.

``benchmarks/`` has the same cells, timer and limits from here, and puts other libraries beside ours.
"""

from __future__ import annotations

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..texts import grouped, percent
from .base import Choice, FloatRange, IntRange, Refused, Texts, command, flag, option
from .output import is_terminal, log, out, out_json, out_wrapped, painter

if TYPE_CHECKING:
    from ..layers import GRU, LSTM

Size = tuple[int, int, int, int]

#: What is timed: T steps, N rows, F inputs, H units.
FORWARD: tuple[Size, ...] = (
    (1, 1, 16, 32), (1, 1, 64, 128), (1, 1, 256, 512),
    (100, 1, 16, 32), (100, 1, 64, 128), (100, 1, 128, 256), (100, 1, 256, 512), (100, 8, 64, 128),
    (100, 32, 16, 32), (100, 32, 64, 128), (100, 32, 128, 256), (100, 32, 256, 512), (100, 128, 64, 128),
)  # fmt: skip
STREAM: tuple[Size, ...] = ((1, 1, 16, 32), (1, 1, 64, 128), (1, 1, 256, 512))
TRAIN: tuple[Size, ...] = (
    (50, 16, 16, 32), (50, 16, 64, 64), (50, 32, 64, 128), (100, 32, 128, 256), (100, 32, 256, 512),
    (100, 128, 64, 128),
)  # fmt: skip
WORKS = {"forward": FORWARD, "stream": STREAM, "train": TRAIN}

#: Times that each turn is taken; the median counts.
ROUNDS = 5


# ---- what is timed ---------------------------------------------------------------------------------------------------


def work(what: str, layer: LSTM | GRU, x: Any, dy: Any) -> Callable[[], Any]:
    """Return the call that is timed.

    Args:
        what: "forward", a whole sequence; "stream", one step that goes on from the one before; "train", forward and
            backward with the gradients of x and of all parameters, which count as changed since the call before.
        layer: one layer.
        x, dy: (N, T, F) and (N, T, H); a stream has one row and reads its first step again and again.
    """
    import numpy as np

    if what == "forward":
        return lambda: layer(x)
    if what == "stream":
        stream, x_t = layer.stream(), x[0, 0]
        return lambda: stream(x_t)
    gradient = np.empty(layer.parameters.size, layer.dtype)

    def train() -> Any:
        layer.parameters.writable()
        _, _, tape = layer.forward(x, record=True)
        assert tape is not None
        return layer.backward(tape, dy, out=gradient)

    return train


def flops(what: str, size: Size, gates: int) -> float:
    """Return the floating-point operations of the matrix products: three times as many with the way back."""
    steps, rows, inputs, hidden = size
    return 2.0 * steps * rows * (inputs + hidden) * gates * hidden * (3 if what == "train" else 1)


def medians(
    runs: Mapping[str, Callable[[], Any]], rounds: int = ROUNDS, seconds: float = 0.02, pause: float = 0.0
) -> dict[str, float]:
    """Return the median time of one call of each, in seconds.

    They take turns within each round, so that whatever else the machine does hits all of them alike. A turn is as many
    calls as fit in ``seconds``, at least one. ``pause`` is slept before each turn, for threads that still wait for work
    from the turn before to go to sleep.
    """
    calls = {}
    for name, run in runs.items():
        run()
        calls[name] = max(1, int(seconds / max(_time(run, 1), 1e-9)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            time.sleep(pause)
            times[name].append(_time(run, calls[name]) / calls[name])
    return {name: statistics.median(values) for name, values in times.items()}


def _time(run: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - start


# ---- what the machine can do -----------------------------------------------------------------------------------------


class Limits:
    """What this machine's cores and caches can do: the highest seen by :meth:`measure` so far, as clocks vary.

    Args:
        bits: the width of a number, 32 or 64.
        threads: the peaks of one thread and of so many at once are measured.
        sizes: bytes of buffers; how fast one thread reads each again and again is measured.
    """

    def __init__(self, bits: int, threads: int, sizes: Iterable[int] = ()) -> None:
        self.bits = bits
        self.peaks = dict.fromkeys((1, threads), 0.0)  # FLOP/s by threads
        self.reading = dict.fromkeys((*cache_sizes(), *sizes), 0.0)  # bytes/s by size

    def measure(self, seconds: float = 0.05) -> None:
        """Measure each for about ``seconds`` and keep what is higher than before; nothing where there is no library."""
        from concurrent.futures import ThreadPoolExecutor

        import numpy as np

        from ..recurrence.binding import Library, load

        library, index = load(), variant()[0]
        if not isinstance(library, Library) or index is None:
            return
        for threads in self.peaks:
            with ThreadPoolExecutor(threads) as pool:
                each = list(pool.map(lambda _: library.peak(index, self.bits, seconds), range(threads)))
            self.peaks[threads] = max(self.peaks[threads], sum(each))
        buffer = np.zeros(max(self.reading), np.uint8)
        for size in self.reading:
            got = library.bandwidth(index, buffer.ctypes.data, size, seconds)
            self.reading[size] = max(self.reading[size], got)

    def peak(self, size: Size, threads: int) -> float:
        """Return the peak that a cell of this size may reach in FLOP/s: one row takes one thread. 0 if not measured."""
        return self.peaks[1 if size[1] == 1 else threads]


def variant() -> tuple[int | None, str]:
    """Return which variant of the native engine's code is active, as the library counts and names it; or (None, "")."""
    from .. import recurrence

    name = recurrence.engine()
    if not name.startswith("native"):
        return None, ""
    names = recurrence.variants()
    index = names.index(name.partition(":")[2]) if ":" in name else 0
    return index, names[index]


def cache_sizes() -> tuple[int, int, int]:
    """Return buffers in bytes that lie in the first, the second and the third cache of most machines."""
    second = 512 << 10
    try:  # on Linux
        text = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text().strip()
        second = int(text.removesuffix("K")) << 10
    except (OSError, ValueError):
        pass
    return 16 << 10, second // 2, 16 << 20


def kibibytes(size: int) -> str:
    """Write the size of a buffer in KiB or MiB."""
    return f"{size >> 10} KiB" if size < 1 << 20 else f"{size / (1 << 20):.3g} MiB"


def processor() -> str:
    """Return the processor's name, if the system gives it."""
    fields = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
            key, _, text = line.partition(":")
            fields[key.strip()] = text.strip()
    except OSError:
        pass
    name = fields.get("model name") or platform.processor() or platform.machine()
    return name + (f" (family {fields['cpu family']}, model {fields['model']})" if "cpu family" in fields else "")


# ---- the command -----------------------------------------------------------------------------------------------------


def make(t: Texts) -> click.Command:
    """Return the command ``bench``."""

    @command(
        t,
        "bench",
        option("--cell", type=Choice(("lstm", "gru")), default="lstm"),
        option("--dtype", type=Choice(("float32", "float64")), default="float32"),
        option("--threads", type=IntRange(1, 1024)),
        option("--engine"),
        option("--seconds", type=FloatRange(0, 3600, open_low=True), default=5.0),
        flag("--json"),
    )
    def bench(cell: str, dtype: str, threads: int | None, engine: str | None, seconds: float, json: bool) -> None:
        from .. import recurrence

        engines = list(recurrence.engines())
        # Where the native engine was asked for and is not there, use_engine says why.
        absent = recurrence.why_not_native() is not None and str(engine).startswith("native")
        if engine is not None and engine not in engines and not absent:
            raise Refused("cli.error.choice", name="--engine", known=engines, got=engine)
        before = recurrence.engine(), recurrence.num_threads()
        try:
            recurrence.use_engine(engine or before[0])
            recurrence.set_num_threads(threads or before[1])
            figures = _measure(t, cell, dtype, seconds)
        finally:
            recurrence.use_engine(before[0])
            recurrence.set_num_threads(before[1])
        if json:
            out_json(figures)
        else:
            _tell(t, figures)

    return bench


def _measure(t: Texts, kind: str, dtype: str, seconds: float) -> dict[str, Any]:
    """Time every cell; return the figures as ``--json`` prints them."""
    import numpy as np

    from .. import GRU, LSTM, __version__, recurrence

    native, gates = variant()[0] is not None, {"lstm": 4, "gru": 3}[kind]
    threads = recurrence.num_threads() if native else 1
    limits = Limits(np.dtype(dtype).itemsize * 8, threads)
    cells = [(what, size) for what, sizes in WORKS.items() for size in sizes]
    share = seconds / len(cells)
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    log(t("cli.bench.begins", cells=len(cells), seconds=f"{seconds:g}"))
    for k, (what, size) in enumerate(cells):
        if is_terminal(sys.stderr):
            click.echo(f"\r{k + 1}/{len(cells)} ", nl=False, err=True)
        if k % 5 == 0:
            limits.measure(min(0.05, share / 10))
        steps, n, inputs, hidden = size
        layer = {"lstm": LSTM, "gru": GRU}[kind](inputs, hidden, dtype=dtype, rng=rng)
        x, dy = (rng.normal(size=(n, steps, width)).astype(dtype) for width in (inputs, hidden))
        elapsed = medians({"": work(what, layer, x, dy)}, seconds=share / (ROUNDS + 2))[""]
        row: dict[str, Any] = {"what": what, **dict(zip("TNFH", size, strict=True)), "microseconds": elapsed * 1e6}
        row |= {"per_second": 1 / elapsed} if what == "stream" else {"gflops": flops(what, size, gates) / elapsed / 1e9}
        rows.append(row)
    limits.measure(min(0.05, share / 10))
    if is_terminal(sys.stderr):
        click.echo("\r", nl=False, err=True)
    for row, (what, size) in zip(rows, cells, strict=True):
        if native and what != "stream":
            row["share_of_peak"] = 1e9 * row["gflops"] / limits.peak(size, threads)
    return {
        "version": __version__,
        "engine": recurrence.engine(),
        "variant": variant()[1] or None,
        "threads": threads if native else None,
        "cell": kind,
        "dtype": dtype,
        "processor": processor(),
        "cpus": os.cpu_count(),
        "peak_gflops": limits.peaks[threads] / 1e9 if native else None,
        "reading_gb_per_second": {size: v / 1e9 for size, v in limits.reading.items()} if native else None,
        "rows": rows,
    }


def _tell(t: Texts, figures: dict[str, Any]) -> None:
    """Print the figures for a person."""
    paint = painter()
    name = figures["engine"] if figures["variant"] is None else f"native ({figures['variant']})"
    out_wrapped(f"{figures['processor']}, {figures['cpus']} CPU")
    cell = f"{figures['cell'].upper()}, {figures['dtype']}"
    out(t("cli.bench.engine_used", version=figures["version"], engine=name, cell=cell))
    if figures["threads"] is not None:
        out(t("cli.bench.threads_used", threads=figures["threads"]))
        reading = ", ".join(f"{kibibytes(size)} {v:.0f}" for size, v in figures["reading_gb_per_second"].items())
        out_wrapped(t("cli.bench.peak", peak=f"{figures['peak_gflops']:.0f}", reading=reading))
    for what in WORKS:
        out("\n" + paint(t(f"cli.bench.{what}"), "title"))
        heads = [t("cli.bench.per_second")] if what == "stream" else ["GFLOP/s"]
        if what != "stream" and figures["threads"] is not None:
            heads.append(t("cli.bench.of_peak"))
        out(f"{'T':>5}{'N':>5}{'F':>5}{'H':>5}{'µs':>12}" + "".join(f"{head:>13}" for head in heads))
        for row in figures["rows"]:
            if row["what"] != what:
                continue
            line = "".join(f"{row[key]:>5}" for key in "TNFH") + f"{_figure(t, row['microseconds']):>12}"
            line += f"{_figure(t, row['per_second' if what == 'stream' else 'gflops']):>13}"
            if "share_of_peak" in row:
                line += f"{percent(row['share_of_peak'], t.lang):>13}"
            out(line)
    out("")
    out_wrapped(t("cli.bench.legend"))


def _figure(t: Texts, value: float) -> str:
    """Write a figure with one decimal below a thousand, with none above."""
    return f"{value:.1f}" if value < 1000 else grouped(round(value), t.lang)
