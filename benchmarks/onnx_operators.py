"""Random configurations of ONNX's LSTM, GRU and RNN, computed by compuerta and by ONNX Runtime, and compared.

    python benchmarks/onnx_operators.py            10,000 configurations from a fresh seed, which is printed
    python benchmarks/onnx_operators.py 300 7      300 of them from seed 7

A configuration draws the operator, all sizes, direction, layout, which optional inputs there are, lengths, clip,
input_forget, linear_before_reset, and every activation with its alpha and beta. It fails if an output differs by more
than 2e-6 times the larger of 1 and its value. What cannot be compared is not drawn, and why:

- ``layout=1``: ONNX Runtime refuses it; it is given the same arrays transposed.
- rows of length 0, where ONNX Runtime's states are zero (see compuerta.interop.onnx.operators); T = 0 and N = 0.
- float64 and float16, which ONNX Runtime's LSTM and GRU do not have on the CPU; NaN, which it swallows.
- Affine, ScaledTanh and ThresholdedRelu without their numbers, for which ONNX Runtime takes 0.
- ONNX Runtime's RNN wants activations spelled as the specification does, and shares no numbers between directions: it
  is given each direction's own.

- Softplus of more than 88, where ONNX Runtime overflows: such a draw, infinite there and finite here, is drawn anew.

A draw that float32 cannot settle (gates without bound let the state grow, or a value lies at the step of
ThresholdedRelu) is drawn anew: one whose float64 results, all ours, move by half the tolerance when every input
moves by its last float32 bit (four times, each number up or down), or differ by as much from those in float32.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter

import numpy as np

from compuerta.interop import onnx as ours

TOLERANCE = 2e-6
NUDGES = 4
OPERATORS = {"LSTM": (4, 3, ours.lstm), "GRU": (3, 2, ours.gru), "RNN": (1, 1, ours.rnn)}
#: Which of alpha and beta an activation has, and whether they may be left to their defaults.
NUMBERS = {
    "Relu": "", "Tanh": "", "Sigmoid": "", "Softsign": "", "Softplus": "", "Affine": "ab!", "LeakyRelu": "a",
    "ThresholdedRelu": "a!", "ScaledTanh": "ab!", "HardSigmoid": "ab", "Elu": "a",
}  # fmt: skip


def draw(rng):
    """Return the operator's name, its inputs and its attributes, as ONNX has them with layout 0."""
    op = rng.choice(list(OPERATORS))
    blocks, functions, _ = OPERATORS[op]
    t, n, features, hidden = (int(rng.integers(1, most + 1)) for most in (7, 5, 6, 7))
    direction = str(rng.choice(["forward", "reverse", "bidirectional"]))
    d = 2 if direction == "bidirectional" else 1

    def array(*shape, scale=1.0):
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    some = rng.uniform(0.2, 1.0)
    inputs = {
        "X": array(t, n, features),
        "W": array(d, blocks * hidden, features, scale=some),
        "R": array(d, blocks * hidden, hidden, scale=some / np.sqrt(hidden)),
    }
    optional = {
        "B": lambda: array(d, 2 * blocks * hidden, scale=0.5),
        "sequence_lens": lambda: rng.integers(1, t + 1, n).astype(np.int32),
        "initial_h": lambda: array(d, n, hidden, scale=0.5),
    }
    if op == "LSTM":
        optional["initial_c"] = lambda: array(d, n, hidden, scale=0.5)
        optional["P"] = lambda: array(d, 3 * hidden, scale=0.5)
    inputs |= {name: make() for name, make in optional.items() if rng.random() < 0.5}
    attributes = {"direction": direction, "hidden_size": hidden}
    if rng.random() < 0.3:
        attributes["clip"] = float(np.float32(rng.uniform(0.2, 3.0)))
    if op == "LSTM":
        attributes["input_forget"] = int(rng.random() < 0.3)
    if op == "GRU":
        attributes["linear_before_reset"] = int(rng.random() < 0.5)
    if rng.random() < 0.7:
        attributes |= activations(rng, op, functions * d)
    return op, inputs, attributes


def activations(rng, op, count):
    names = [str(name) for name in rng.choice(list(NUMBERS), count)]
    alpha, beta = [], []
    # Numbers are handed out in order: once one is left to its default, so are all that follow.
    given = {k: int(rng.integers(0, count + 1)) for k in "ab"}
    for at, name in enumerate(names):
        if "!" in NUMBERS[name]:
            given = {k: max(v, at + 1) for k, v in given.items()}
    for at, name in enumerate(names):
        for kind, numbers in (("a", alpha), ("b", beta)):
            if kind in NUMBERS[name] and at < given[kind]:
                numbers.append(float(np.float32(rng.uniform(0.1, 0.9))))
    if op != "RNN":
        names = [rng.choice([name, name.lower(), name.upper()]).item() for name in names]
    found = {"activations": names, "activation_alpha": alpha, "activation_beta": beta}
    return {key: value for key, value in found.items() if value}


def runtime(op, inputs, attributes):
    """Return what ONNX Runtime computes."""
    import onnxruntime
    from onnx import TensorProto, helper

    order = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
    names = [name if name in inputs else "" for name in order]
    while not names[-1]:
        names.pop()
    outputs = ["Y", "Y_h", "Y_c"][: 3 if op == "LSTM" else 2]
    node = helper.make_node(op, names, outputs, **attributes)
    kinds = {k: TensorProto.INT32 if v.dtype == np.int32 else TensorProto.FLOAT for k, v in inputs.items()}
    graph = helper.make_graph(
        [node],
        op,
        [helper.make_tensor_value_info(k, kinds[k], v.shape) for k, v in inputs.items()],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, None) for k in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(outputs, inputs)


def compuerta(op, inputs, attributes, dtype, layout):
    """Return what we compute, with layout 0."""
    given = {k: v if v.dtype == np.int32 else v.astype(dtype) for k, v in inputs.items()}
    if layout:
        given |= {k: given[k].swapaxes(0, 1) for k in ("X", "initial_h", "initial_c") if k in given}
    y, *state = OPERATORS[op][2](**given, **attributes, layout=layout)
    if layout:
        y, state = y.transpose(1, 2, 0, 3), [part.swapaxes(0, 1) for part in state]
    return y, *state


def nudged(rng, inputs):
    """Return the inputs, each number one bit of float32 up or down."""
    nudge = {k: 1 + 2.0**-23 * rng.choice([-1.0, 1.0], v.shape) for k, v in inputs.items() if v.dtype == np.float32}
    return {k: v * nudge[k] if k in nudge else v for k, v in inputs.items()}


def apart(one, other):
    """Return the largest difference, relative where values are beyond 1."""
    with np.errstate(all="ignore"):
        return max(float((np.abs(a - b) / np.maximum(1, np.abs(b))).max()) for a, b in zip(one, other, strict=True))


def compare(count, seed):
    """Return the largest difference over ``count`` configurations, how many of each operator, and how many redrawn."""
    rng = np.random.default_rng(seed)
    worst, counts, redrawn = 0.0, Counter(), 0
    while counts.total() < count:
        op, inputs, attributes = draw(rng)
        layout = int(rng.integers(2))
        got = compuerta(op, inputs, attributes, np.float32, layout)
        exact = compuerta(op, inputs, attributes, np.float64, layout)
        moved = [compuerta(op, nudged(rng, inputs), attributes, np.float64, layout) for _ in range(NUDGES)]
        if not max(apart(other, exact) for other in (got, *moved)) <= TOLERANCE / 2:
            redrawn += 1
            continue
        expected = runtime(op, inputs, attributes)
        softplus = "softplus" in [name.lower() for name in attributes.get("activations", ())]
        if softplus and not all(np.isfinite(array).all() for array in expected):
            redrawn += 1
            continue
        difference = apart(got, expected)
        if not difference <= TOLERANCE:
            shapes = {name: array.shape for name, array in inputs.items()}
            raise AssertionError(f"seed {seed}, configuration {counts.total()}: {difference:.2g} apart\n"
                                 f"{op} {attributes} layout {layout}\n{shapes}")  # fmt: skip
        worst = max(worst, difference)
        counts[str(op)] += 1
    return worst, counts, redrawn


def main(count=10_000, seed=None):
    seed = int(np.random.SeedSequence().entropy % 2**32) if seed is None else seed
    worst, counts, redrawn = compare(count, seed)
    each = ", ".join(f"{k} {v}" for k, v in sorted(counts.items()))
    print(f"seed {seed}: {count} configurations ({each}), {redrawn} redrawn; largest difference {worst:.2g}")


if __name__ == "__main__":
    with warnings.catch_warnings(action="error"):
        main(*map(int, sys.argv[1:]))
