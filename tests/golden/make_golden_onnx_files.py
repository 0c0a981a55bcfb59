"""Write onnx_files/: graphs as PyTorch's and Keras's exporters make them, each with its framework's own outputs.

    python make_golden_onnx_files.py pytorch     with torch, onnx and onnxscript
    python make_golden_onnx_files.py keras       with tensorflow, keras and tf2onnx

The tests only read the files. ``<name>.onnx`` is the graph, ``<name>.npz`` holds inputs and outputs in the framework's
own layout. What exporters note about their source is taken out, for size; the graph is as they wrote it.
"""

import os
import sys
import warnings
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "onnx_files"
N, T, F, H, K, V = 3, 7, 5, 6, 4, 11


def keep(path, arrays):
    import onnx

    model = onnx.load(path)
    model.doc_string = model.graph.doc_string = ""
    del model.metadata_props[:]
    del model.graph.value_info[:], model.graph.metadata_props[:]
    for entry in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        entry.doc_string = ""
        del entry.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)
    np.savez_compressed(path.with_suffix(".npz"), **arrays)


# ---- PyTorch --------------------------------------------------------------------------------------------------------

PYTORCH = {
    "torch_lstm_stack_both": {"cell": "LSTM", "layers": 2, "both": True},
    "torch_language_model": {"cell": "LSTM", "layers": 2, "tokens": True, "states": True},
    "torch_gru_last_softmax": {"cell": "GRU", "tokens": True, "head": "last", "end": "softmax"},
    "torch_gru_hidden_both": {"cell": "GRU", "layers": 2, "both": True, "tokens": True, "head": "hidden",
                              "end": "log_softmax"},
    "torch_lstm_hidden": {"cell": "LSTM", "layers": 2, "head": "hidden"},
    "torch_lstm_time_first": {"cell": "LSTM", "batch_first": False},
}  # fmt: skip


def pytorch():
    import torch
    from torch import nn

    class Model(nn.Module):
        def __init__(self, cell, layers=1, both=False, tokens=False, states=False, head="", end="", batch_first=True):
            super().__init__()
            self.embedding = nn.Embedding(V, F) if tokens else nn.Identity()
            self.rnn = getattr(nn, cell)(F, H, layers, batch_first=batch_first, bidirectional=both)
            self.out = nn.Linear(H * (1 + both), K)
            self.head, self.end, self.both = head, end, both

        def run(self, x, state=None):
            y, state = self.rnn(self.embedding(x), state)
            h = state[0] if isinstance(state, tuple) else state
            if self.head == "last":
                y = y[:, -1]
            if self.head == "hidden":
                y = torch.cat((h[-2], h[-1]), 1) if self.both else h[-1]
            y = self.out(y)
            return (getattr(torch, self.end)(y, -1) if self.end else y), state

    class Plain(Model):
        def forward(self, x):
            return self.run(x)[0]

    class Stateful(Model):
        def forward(self, x, h0, c0):
            y, (h, c) = self.run(x, (h0, c0))
            return y, h, c

    torch.manual_seed(20265)
    for name, settings in PYTORCH.items():
        model = (Stateful if settings.get("states") else Plain)(**settings).eval()
        time_first = not settings.get("batch_first", True)
        shape = (T, N) if time_first else (N, T)
        x = torch.randint(0, V, shape) if settings.get("tokens") else torch.randn(*shape, F)
        given, inputs, outputs, axes = (x,), ["x"], ["y"], {"x": {0: "N", 1: "T"}}
        if settings.get("states"):
            state = [torch.randn(settings["layers"], N, H) for _ in "hc"]
            given, inputs, outputs = (x, *state), ["x", "h0", "c0"], ["y", "hn", "cn"]
            axes |= {"h0": {1: "N"}, "c0": {1: "N"}}
        with torch.no_grad():
            found = model(*given)
        found = found if isinstance(found, tuple) else (found,)
        arrays = {k: v.numpy() for k, v in (*zip(inputs, given, strict=True), *zip(outputs, found, strict=True))}
        path = FOLDER / f"{name}.onnx"
        torch.onnx.export(model, given, path, input_names=inputs, output_names=outputs, dynamic_axes=axes,
                          opset_version=17, dynamo=False)  # fmt: skip
        keep(path, arrays)
        if name in ("torch_lstm_stack_both", "torch_language_model", "torch_lstm_hidden"):  # the others fail in it
            path = FOLDER / f"{name}_dynamo.onnx"
            rows = tuple({0: "N"} if k == "x" else {1: "N"} for k in inputs)
            torch.onnx.export(model, given, path, input_names=inputs, output_names=outputs, dynamic_shapes=rows,
                              dynamo=True, external_data=False, verbose=False)  # fmt: skip
            keep(path, arrays)


# ---- Keras, by way of tf2onnx ---------------------------------------------------------------------------------------


def keras():
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow
    import tf2onnx

    layers = keras.layers
    models = {
        "keras_lstm": [layers.LSTM(H, return_sequences=True), layers.Dense(K, activation="softmax")],
        "keras_lstm_both": [layers.Bidirectional(layers.LSTM(H, return_sequences=True)), layers.Dense(K)],
        "keras_gru": [layers.GRU(H, reset_after=False), layers.Dense(K)],  # which tf2onnx writes as a Loop
    }
    rng = np.random.default_rng(20266)
    for name, row in models.items():
        model = keras.Sequential([keras.Input((None, F)), *row])
        model.set_weights([0.5 * rng.standard_normal(w.shape) for w in model.get_weights()])
        signature = (tensorflow.TensorSpec((None, None, F), "float32", name="x"),)
        function = tensorflow.function(lambda x, model=model: model(x, training=False), input_signature=signature)
        path = FOLDER / f"{name}.onnx"
        tf2onnx.convert.from_function(function, input_signature=signature, opset=17, output_path=str(path))
        x = rng.standard_normal((N, T, F)).astype(np.float32)
        keep(path, {"x": x, "y": model(x).numpy()})


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    FOLDER.mkdir(exist_ok=True)
    {"pytorch": pytorch, "keras": keras}[sys.argv[1]]()
