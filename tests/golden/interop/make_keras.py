"""Write Keras 3's own files (.keras and .weights.h5), and keras.npz: inputs and outputs of each.

KERAS_BACKEND=torch python tests/golden/interop/make_keras.py
"""

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
from keras import layers as L

HERE = Path(__file__).parent


def functional():
    start = L.Input((None, 3))
    y = L.LSTM(4, return_sequences=True)(start)
    y = L.LSTM(4, return_sequences=True)(y)
    return keras.Model(start, L.TimeDistributed(L.Dense(2))(y))


CASES = {
    "keras_text": lambda: keras.Sequential([
        L.Input((None,), dtype="int32"), L.Embedding(7, 3), L.Bidirectional(L.LSTM(4, return_sequences=True)),
        L.Bidirectional(L.GRU(3)), L.Dropout(0.25), L.Dense(5, activation="relu"), L.Dense(2, activation="softmax"),
    ]),
    "keras_gru_before": lambda: keras.Sequential([L.Input((None, 3)), L.GRU(4, reset_after=False)]),
    "keras_functional": functional,
}  # fmt: skip
#: Models that are to be refused, each for one thing.
REFUSED = {
    "keras_lambda": lambda: keras.Sequential([L.Input((5, 3)), L.LSTM(2), L.Lambda(lambda x: x)]),
}

if __name__ == "__main__":
    rng = np.random.default_rng(20265)
    arrays = {"made_with": np.array(f"keras {keras.__version__} on {keras.backend.backend()}")}
    for name, make in CASES.items():
        model = make()
        model.set_weights([0.6 * rng.standard_normal(w.shape) for w in model.get_weights()])
        model.save(HERE / f"{name}.keras")
        x = rng.integers(0, 7, (3, 6)) if "text" in name else rng.standard_normal((3, 6, 3)).astype(np.float32)
        arrays |= {f"{name}/x": x, f"{name}/y": keras.ops.convert_to_numpy(model(keras.ops.convert_to_tensor(x)))}
        if name == "keras_functional":
            model.save_weights(HERE / f"{name}.weights.h5")
    for name, make in REFUSED.items():
        make().save(HERE / f"{name}.keras")
    np.savez_compressed(HERE / "keras.npz", **arrays)
