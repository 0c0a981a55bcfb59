"""Write keras.npz: outputs and states of Keras 3's LSTM and GRU in float64 with random weights, whole and masked.

With a mask, and for a GRU with reset_after=False, Keras steps its own cells, which on the torch backend round to
float32 on the way: those numbers are good to 1e-6, the others to float64.
"""

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np

N, T, F, H = 4, 6, 3, 5
LENGTHS = (6, 2, 5, 1)
CASES = {
    "lstm": (keras.layers.LSTM, {}),
    "gru_reset_after": (keras.layers.GRU, {"reset_after": True}),
    "gru_reset_before": (keras.layers.GRU, {"reset_after": False}),
}


def run(rng, cls, options):
    layer = cls(H, return_sequences=True, return_state=True, dtype="float64", **options)
    layer.build((N, T, F))
    weights = [0.6 * rng.standard_normal(w.shape) for w in layer.get_weights()]
    layer.set_weights(weights)
    assert all((a == b).all() for a, b in zip(layer.get_weights(), weights, strict=True))
    parts = "hc" if cls is keras.layers.LSTM else "h"
    x = rng.standard_normal((N, T, F))
    state = [rng.standard_normal((N, H)) for _ in parts]
    mask = np.arange(T) < np.array(LENGTHS)[:, None]
    tensor = keras.ops.convert_to_tensor
    given = [tensor(part, "float64") for part in state]  # left to itself, Keras may round NumPy arrays to float32
    out = {"x": x, "lengths": np.array(LENGTHS)}
    out |= dict(zip(("kernel", "recurrent_kernel", "bias"), weights, strict=True))
    out |= {f"{part}0": value for part, value in zip(parts, state, strict=True)}
    for end, options in (("_whole", {}), ("_masked", {"mask": tensor(mask)})):
        y, *final = layer(tensor(x, "float64"), initial_state=given, **options)
        out["y" + end] = keras.ops.convert_to_numpy(y)
        out |= {f"{p}_n{end}": keras.ops.convert_to_numpy(v) for p, v in zip(parts, final, strict=True)}
    return out


if __name__ == "__main__":
    keras.config.set_floatx("float64")
    rng = np.random.default_rng(20262)
    arrays = {"made_with": np.array(f"keras {keras.__version__} on {keras.backend.backend()}")}
    for name, case in CASES.items():
        arrays |= {f"{name}/{key}": np.asarray(value) for key, value in run(rng, *case).items()}
    assert all(a.dtype in (np.float64, np.int64) for k, a in arrays.items() if "/" in k)
    np.savez_compressed(Path(__file__).with_name("keras.npz"), **arrays)
