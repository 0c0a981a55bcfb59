"""Write onnx.npz: outputs and states of ONNX Runtime's LSTM and GRU in float32, with random weights.

Run with an interpreter that has onnx and onnxruntime: ``python make_golden_onnx.py``. The tests only read the file.
Keys are ``<case>/<what>``; weights keep ONNX's own layouts. (On the CPU ONNX Runtime has no float64 LSTM. For a row of
length 0 it returns zeros where the ONNX reference keeps the initial state, so no row here is empty.)
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

N, T, F, H = 4, 6, 3, 5
LENGTHS = np.array([3, 6, 1, 5], np.int32)
CASES = {
    "lstm_forward": ("LSTM", {"direction": "forward"}),
    "lstm_reverse": ("LSTM", {"direction": "reverse"}),
    "lstm_bidirectional": ("LSTM", {"direction": "bidirectional"}),
    "gru_linear_before_reset_0": ("GRU", {"direction": "bidirectional", "linear_before_reset": 0}),
    "gru_linear_before_reset_1": ("GRU", {"direction": "bidirectional", "linear_before_reset": 1}),
}


def run(rng, op, attributes):
    directions = 2 if attributes["direction"] == "bidirectional" else 1
    blocks, parts = (4, "hc") if op == "LSTM" else (3, "h")

    def draw(*shape, scale=1.0):
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    inputs = {
        "X": draw(T, N, F),
        "W": draw(directions, blocks * H, F, scale=0.6),
        "R": draw(directions, blocks * H, H, scale=0.6),
        "B": draw(directions, 2 * blocks * H, scale=0.6),
        "sequence_lens": LENGTHS,
    } | {f"initial_{part}": draw(directions, N, H) for part in parts}
    outputs = ["Y", *(f"Y_{part}" for part in parts)]
    node = helper.make_node(op, list(inputs), outputs, hidden_size=H, **attributes)
    kinds = {k: TensorProto.INT32 if v.dtype == np.int32 else TensorProto.FLOAT for k, v in inputs.items()}
    graph = helper.make_graph(
        [node],
        "golden",
        [helper.make_tensor_value_info(k, kinds[k], v.shape) for k, v in inputs.items()],
        [helper.make_tensor_value_info(k, TensorProto.FLOAT, [None] * (4 if k == "Y" else 3)) for k in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return inputs | dict(zip(outputs, session.run(outputs, inputs), strict=True))


if __name__ == "__main__":
    rng = np.random.default_rng(20263)
    arrays = {"made_with": np.array(f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}")}
    for name, case in CASES.items():
        arrays |= {f"{name}/{key}": value for key, value in run(rng, *case).items()}
    np.savez_compressed(Path(__file__).with_name("onnx.npz"), **arrays)
