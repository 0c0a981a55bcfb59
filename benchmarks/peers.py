"""What the benchmarks share: the peers with our very weights, a timer that alternates, the machine in one line.

Peers are PyTorch and ONNX Runtime, each in the layout it likes best, (T, N, F); ours is (N, T, F), and what it costs to
turn it around is in our time. A peer that is not installed is None, and :func:`missing` says so.
"""

# Threads come first: importing the module sets the limits, and NumPy reads them when it loads.
from threads import THREADS

# isort: split
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import compuerta

try:
    import torch

    torch.set_num_threads(THREADS)
except ImportError:
    torch = None
try:
    import onnx
    import onnxruntime
except ImportError:
    onnxruntime = onnx = None

Array = np.ndarray


# ---- the timer -------------------------------------------------------------------------------------------------------


def alternate(runs: Mapping[str, Callable[[], Any]], rounds: int = 9, seconds: float = 0.02) -> dict[str, float]:
    """Return the median time of one call of each, in seconds.

    They take turns within each round, so that whatever else the machine does hits all of them alike. A turn is as many
    calls as fit in ``seconds``, at least one.
    """
    calls = {}
    for name, run in runs.items():
        run()
        calls[name] = max(1, int(seconds / max(_time(run, 1), 1e-9)))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(_time(run, calls[name]) / calls[name])
    return {name: statistics.median(values) for name, values in times.items()}


def _time(run: Callable[[], Any], calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - start


def check(name: str, ours: Array, theirs: Array) -> None:
    """Stop unless two results are the same within what their dtype allows: what is not equal is not worth timing."""
    tolerance = 2e-4 if ours.dtype == np.float32 else 1e-10
    error = float(np.abs(ours - theirs).max() / max(1e-30, np.abs(theirs).max())) if theirs.size else 0.0
    if not error <= tolerance:
        raise SystemExit(f"{name}: results differ by {error:.1e} of the largest, more than {tolerance:.0e}")


# ---- the peers -------------------------------------------------------------------------------------------------------


def to_torch(layer: compuerta.LSTM | compuerta.GRU) -> Any:
    """Return PyTorch's layer of the same weights. It has two biases where ours has one: its second is zero."""
    kind = torch.nn.LSTM if isinstance(layer, compuerta.LSTM) else torch.nn.GRU
    module = kind(layer.input_size, layer.hidden_size, dtype=getattr(torch, layer.dtype.name))
    p = layer.parameters
    with torch.no_grad():
        module.weight_ih_l0.copy_(torch.from_numpy(p["w_x_l0"].copy()))
        module.weight_hh_l0.copy_(torch.from_numpy(p["w_h_l0"].copy()))
        module.bias_ih_l0.copy_(torch.from_numpy(p["b_l0"].copy()))
        module.bias_hh_l0.zero_()
        if "b_hn_l0" in p:
            module.bias_hh_l0[2 * layer.hidden_size :] = torch.from_numpy(p["b_hn_l0"].copy())
    return module


def to_onnx(layer: compuerta.LSTM | compuerta.GRU) -> Any:
    """Return an ONNX Runtime session of the same weights: inputs X (T, N, F), h0 and c0 (1, N, H)."""
    lstm = isinstance(layer, compuerta.LSTM)
    hidden, dtype, p = layer.hidden_size, layer.dtype, layer.parameters
    order = (0, 3, 1, 2) if lstm else (1, 0, 2)  # i f g o to i o f c; r z n to z r h

    def blocks(w: Array) -> Array:
        return w.reshape(len(order), hidden, -1)[order, ...].reshape(1, len(order) * hidden, -1)

    recurrent_bias = np.zeros_like(p["b_l0"])
    if "b_hn_l0" in p:
        recurrent_bias[2 * hidden :] = p["b_hn_l0"]
    bias = np.concatenate([blocks(p["b_l0"]), blocks(recurrent_bias)], axis=1)[:, :, 0]
    constants = {"W": blocks(p["w_x_l0"]), "R": blocks(p["w_h_l0"]), "B": bias}
    states = ["h0", "c0"] if lstm else ["h0"]
    outputs = ["Y", "Yh", "Yc"] if lstm else ["Y", "Yh"]
    node = onnx.helper.make_node(
        "LSTM" if lstm else "GRU",
        ["X", "W", "R", "B", "", *states],
        outputs,
        hidden_size=hidden,
        **({} if lstm else {"linear_before_reset": 1}),
    )
    element = onnx.helper.np_dtype_to_tensor_dtype(dtype)
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node],
        "layer",
        [value("X", element, ["T", "N", layer.input_size]), *(value(s, element, [1, "N", hidden]) for s in states)],
        [value(name, element, None) for name in outputs],
        [onnx.numpy_helper.from_array(np.ascontiguousarray(w), name) for name, w in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


# ---- what stands above and below a table -----------------------------------------------------------------------------


def missing() -> list[str]:
    """Return one line for each peer that is not installed."""
    lines = []
    if torch is None:
        lines.append("PyTorch is not installed and is left out: pip install torch")
    if onnxruntime is None:
        lines.append("ONNX Runtime is not installed and is left out: pip install onnx onnxruntime")
    return lines


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload]
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name')} {blas.get('version')}",
        "torch": getattr(torch, "__version__", None),
        "onnxruntime": getattr(onnxruntime, "__version__", None),
        "compuerta": compuerta.__version__,
        "engine": compuerta.engine(),
    }


def machine_line() -> str:
    """Return :func:`machine` as two lines to print."""
    m = machine()
    parts = [f"Python {m['python']}", f"NumPy {m['numpy']} ({m['blas']})"]
    parts += [f"PyTorch {m['torch']}"] if m["torch"] else []
    parts += [f"ONNX Runtime {m['onnxruntime']}"] if m["onnxruntime"] else []
    threads = "1 thread" if THREADS == 1 else f"{THREADS} threads"
    return (
        f"{m['cpu']}, {m['cores']} cores, {threads} each\n"
        f"compuerta {m['compuerta']} (engine: {m['engine']}), {', '.join(parts)}"
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    fields = {}
    if info.exists():
        for line in info.read_text().split("\n\n")[0].splitlines():
            key, _, text = line.partition(":")
            fields[key.strip()] = text.strip()
    name = fields.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in fields:
        name += f" (family {fields['cpu family']}, model {fields['model']})"
    wide = [flag for flag in ("avx2", "avx512f") if flag in fields.get("flags", "").split()]
    return f"{name} {wide[-1]}" if wide else name


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return rows as Markdown that also reads well in a terminal; the first column to the left, others to the right."""
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]

    def line(row: list[str]) -> str:
        cells = [v.ljust(w) if k == 0 else v.rjust(w) for k, (v, w) in enumerate(zip(row, widths, strict=True))]
        return "| " + " | ".join(cells) + " |"

    rule = "|" + "|".join("-" * (w + 2) if k == 0 else "-" * (w + 1) + ":" for k, w in enumerate(widths)) + "|"
    return "\n".join([line(head), rule, *(line(row) for row in rows)])
