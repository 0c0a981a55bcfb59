"""What the benchmarks share: the peers with our very weights, and the machine in two lines.

Peers are PyTorch and ONNX Runtime, each in the layout it likes best, (T, N, F); ours is (N, T, F), and what it costs to
turn it around is in our time. A peer that is not installed is left out, and :func:`missing` says so.
"""

# Threads come first: importing the module sets the limits, and NumPy reads them when it loads.
from threads import THREADS

# isort: split
import os
import platform
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np

import compuerta
from compuerta.cli import bench

try:
    import torch

    torch.set_num_threads(THREADS)
except ImportError:
    torch = None
#: ONNX Runtime is imported where it is used: it would weigh on the memory of processes that measure others'.
ONNX = find_spec("onnx") is not None and find_spec("onnxruntime") is not None

Array = np.ndarray


# ---- the peers -------------------------------------------------------------------------------------------------------


def check(name: str, ours: Array, theirs: Array) -> None:
    """Stop unless two results are the same within what their dtype allows: what is not equal is not worth timing."""
    tolerance = 2e-4 if ours.dtype == np.float32 else 1e-10
    error = float(np.abs(ours - theirs).max() / max(1e-30, np.abs(theirs).max())) if theirs.size else 0.0
    if not error <= tolerance:
        raise SystemExit(f"{name}: results differ by {error:.1e} of the largest, more than {tolerance:.0e}")


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
    import onnx
    import onnxruntime

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
    v = layer.variant if lstm else None
    activations = v and [a.name for a in (v.gate_activation, v.input_activation, v.output_activation)]
    node = onnx.helper.make_node(
        "LSTM" if lstm else "GRU",
        ["X", "W", "R", "B", "", *states],
        outputs,
        hidden_size=hidden,
        **({"activations": activations} if lstm else {"linear_before_reset": 1}),
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
    # Its threads wait by turning in circles, for work within a run as it likes; not on through the others' turns.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def onnx_steps(layer: compuerta.LSTM | compuerta.GRU, x: Array) -> tuple[Callable[[], Array], Callable[[], Array]]:
    """Return one step of a stream in ONNX Runtime in two ways: by ``session.run``, which makes new arrays each time;
    and with inputs and outputs bound to memory made beforehand, where two copies of the state take turns."""
    import onnxruntime

    session = to_onnx(layer)
    names = [value.name for value in session.get_inputs()[1:]]
    outputs = [value.name for value in session.get_outputs()]
    zeros = np.zeros((1, x.shape[1], layer.hidden_size), layer.dtype)
    feed = {"X": x, **dict.fromkeys(names, zeros)}

    def run() -> Array:
        y, *state = session.run(None, feed)
        feed.update(zip(names, state, strict=True))
        return y

    def place(array: Array) -> Any:
        return onnxruntime.OrtValue.ortvalue_from_numpy(array.copy())  # it uses, and keeps, the array's own memory

    x_place, y_place = place(x), place(zeros[None])
    states = [[place(zeros) for _ in names] for _ in range(2)]
    turns = []
    for before, after in (states, states[::-1]):
        turn = session.io_binding()
        for name, value in zip(("X", *names), (x_place, *before), strict=True):
            turn.bind_ortvalue_input(name, value)
        for name, value in zip(outputs, (y_place, *after), strict=True):
            turn.bind_ortvalue_output(name, value)
        turns.append(turn)

    def run_bound() -> Array:
        x_place.update_inplace(x)
        session.run_with_iobinding(turns[0])
        turns.reverse()
        return y_place.numpy()

    return run, run_bound


# ---- what stands above and below a table -----------------------------------------------------------------------------


def missing() -> list[str]:
    """Return one line for each peer that is not installed."""
    lines = []
    if torch is None:
        lines.append("PyTorch is not installed and is left out: pip install torch")
    if not ONNX:
        lines.append("ONNX Runtime is not installed and is left out: pip install onnx onnxruntime")
    return lines


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload]
    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "blas": f"{blas.get('name')} {blas.get('version')}",
        "torch": getattr(torch, "__version__", None),
        "torch_instructions": torch.backends.cpu.get_cpu_capability() if torch is not None else None,
        "onnxruntime": version("onnxruntime") if ONNX else None,
        "compuerta": compuerta.__version__,
        "engine": compuerta.engine(),
        "instructions": bench.variant()[1],
    }


def machine_line() -> str:
    """Return :func:`machine` as two lines to print."""
    m = machine()
    parts = [f"Python {m['python']}", f"NumPy {m['numpy']} ({m['blas']})"]
    parts += [f"PyTorch {m['torch']} ({m['torch_instructions']})"] if m["torch"] else []
    parts += [f"ONNX Runtime {m['onnxruntime']}"] if m["onnxruntime"] else []
    engine = " ".join([m["engine"].partition(":")[0], m["instructions"]]).strip()
    return (
        f"{m['cpu']}, {m['cores']} cores, {threads()} each\ncompuerta {m['compuerta']} ({engine}), {', '.join(parts)}"
    )


def threads() -> str:
    """Return how many threads every library has, in words."""
    return "1 thread" if THREADS == 1 else f"{THREADS} threads"


def processor() -> str:
    """Return the processor's name with the widest of the instruction sets that matter here."""
    flags: list[str] = []
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = next((line.split() for line in file if line.startswith("flags")), [])
    wide = [flag for flag in ("avx2", "avx512f") if flag in flags]
    return " ".join([bench.processor(), *wide[-1:]])
