"""Write models, traces and a checkpoint for later versions to read: ``python make_earlier.py FOLDER``.

The files here were written by version 0.1.0 before its release and stay as they are; run the script with another
version, into another folder, to add that version's. ``values.npz`` holds what each file gave then: ``<file>/x`` and
``<file>/y``, or each quantity of a trace as ``<file>/<name>.<layer>.<direction>``.
"""

import contextlib
import sys
from pathlib import Path

import numpy as np

import compuerta
from compuerta import GRU, LSTM, Dense, Forecaster, LanguageModel, MinLSTM, Sequential
from compuerta.data import read_series
from compuerta.layers import Activation, Dropout, Embedding, Last
from compuerta.training import Callback

TEXT = "la luna, la luz,\nla lana. " * 12
SETTINGS = {"hidden_size": 4, "embedding_size": 3, "batch_size": 2, "steps": 8, "learning_rate": 0.02, "seed": 3}


class Break(Callback):
    """Interrupt a run after its third update."""

    def updated(self, trainer):
        if trainer.update == 3:
            raise KeyboardInterrupt


def layers():
    """Yield name, layer and inputs, with weights of which none is zero."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2, 6, 3))
    made = {
        "lstm_variant": LSTM(3, 4, peepholes=True, layer_norm="cell", projection_size=3, input_activation="Softsign",
                             zoneout=0.1, cell_clip=2.0, learn_state=True, dtype="float64"),
        "lstm_coupled": LSTM(3, 4, 2, coupled=True, full_gate_recurrence=True, output_gate=False, dtype="float64"),
        "gru_both_ways": GRU(3, 4, 2, bidirectional=True, reset_after=False, dtype="float64"),
        "gru": GRU(3, 4, dtype="float64"),
        "min_lstm": MinLSTM(3, 4, 2, dtype="float64"),
        "sequential": Sequential(
            Embedding(9, 3), LSTM(3, 4), GRU(4, 4), Dropout(0.2), Last(), Dense(4, 2), Activation("softmax")
        ),
    }  # fmt: skip
    for name, layer in made.items():
        layer.parameters.writable()[...] = rng.normal(scale=0.5, size=layer.parameters.size)
        yield name, layer, rng.integers(9, size=(2, 6)) if name == "sequential" else x


def quantities(name, trace):
    return {f"{name}/{key[0]}.{key[1]}.{key[2] if len(key) > 2 else 0}": trace[key] for key in trace}


def series(folder):
    path = folder / "series.csv"
    rows = [f"{2018 + k // 12}-{k % 12 + 1:02},{100 + k + 20 * np.sin(k * np.pi / 6):.2f}" for k in range(60)]
    path.write_text("\n".join(["month,passengers", *rows]) + "\n", encoding="utf-8")
    return read_series(path)


def main(folder):
    values = {"made_with": np.array(f"compuerta {compuerta.__version__}, before its first release")}
    for name, layer, x in layers():
        compuerta.save(layer, folder / f"{name}.safetensors")
        values |= {f"{name}/x": x, f"{name}/y": layer(x)[0]}
        if name != "sequential":
            _, trace = layer.trace(x, lengths=[6, 4])
            trace.save(folder / f"trace_{name}.safetensors")
            values |= quantities(f"trace_{name}", trace)
    for cell in ("lstm", "gru"):
        model = LanguageModel(**SETTINGS, cell=cell, updates=4).fit(TEXT)
        compuerta.save(model, folder / f"language_{cell}.safetensors")
        values[f"language_{cell}/score"] = np.array(model.score(TEXT))
        trace = model.trace("la luz\n")
        trace.save(folder / f"trace_language_{cell}.safetensors")
        values |= quantities(f"trace_language_{cell}", trace)
    past = series(folder)
    model = Forecaster(horizon=3, hidden_size=4, members=1, max_epochs=2, origins=1, window=6, seed=3).fit(past)
    compuerta.save(model, folder / "forecaster.safetensors")
    forecast = model.predict()
    values |= {"forecaster/mean": forecast.mean, "forecaster/lower": forecast.lower[80]}
    trace = model.trace()
    trace.save(folder / "trace_forecaster.safetensors")
    values |= quantities("trace_forecaster", trace)
    values["trace_forecaster/values_in"] = trace.values_in
    values["trace_forecaster/labels"] = np.array(trace.labels)

    checkpoint = folder / "checkpoint.safetensors"
    with contextlib.suppress(KeyboardInterrupt):
        LanguageModel(**SETTINGS, updates=6).fit(TEXT, checkpoint=checkpoint, callbacks=[Break()])
    values["checkpoint/parameters"] = LanguageModel(**SETTINGS, updates=6).fit(TEXT).model_.parameters.flat
    np.savez_compressed(folder / "values.npz", **values)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
