"""Write keras_own.npz and keras_own.json: the cases of Keras's own tests of LSTM, GRU and Bidirectional.

Keras ships its tests in its wheel. They are run here with two ears put on: one notes each call of a recurrent layer
(its configuration, weights, inputs, initial state, mask), the other each number that a test expects of what came out.

    KERAS_BACKEND=torch python tests/golden/interop/make_keras_own.py
"""

import json
import os
import unittest
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np
from keras import layers
from keras.src import testing
from keras.src.layers.rnn import bidirectional_test, gru_test, lstm_test

HERE = Path(__file__).parent
KINDS = (layers.LSTM, layers.GRU, layers.Bidirectional)
calls, cases = [], []


def listen(kind):
    plain = kind.__call__

    def call(self, x, *args, initial_state=None, mask=None, **more):
        extra = {k: v for k, v in (("initial_state", initial_state), ("mask", mask)) if v is not None}
        out = plain(self, x, *args, **extra, **more)
        calls.append((self, x, initial_state, mask, out))
        return out

    kind.__call__ = call


def expected(self, value, numbers, *args, **more):
    found = next((c for c in reversed(calls) if c[-1] is value), None)
    if found is not None and not getattr(found[0], "stateful", False):
        layer, x, state, mask, _ = found
        arrays = {"x": x, "expected": numbers, **{f"w{k}": w for k, w in enumerate(layer.get_weights())}}
        if state is not None:
            arrays |= {f"s{k}": s for k, s in enumerate(state if isinstance(state, (list, tuple)) else [state])}
        if mask is not None:
            arrays["mask"] = mask
        config = json.loads(json.dumps(layer.get_config(), default=str))
        cases.append((self.id().rsplit(".", 1)[1], type(layer).__name__, config,
                      {k: np.array(keras.ops.convert_to_numpy(v)) for k, v in arrays.items()}))  # fmt: skip
    plain_assert(self, value, numbers, *args, **more)


if __name__ == "__main__":
    for kind in KINDS:
        listen(kind)
    plain_assert = testing.TestCase.assertAllClose
    testing.TestCase.assertAllClose = expected
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromModule(module)
                               for module in (lstm_test, gru_test, bidirectional_test))  # fmt: skip
    result = unittest.TextTestRunner(verbosity=0).run(suite)
    arrays, told = {}, []
    for test, kind, config, values in cases:
        if test.endswith("1 (2)"):  # the same numbers for another value of an argument that does nothing any more
            continue
        told.append({"test": test, "class_name": kind, "config": config})
        arrays |= {f"{len(told) - 1}/{name}": value for name, value in values.items()}
    np.savez_compressed(HERE / "keras_own.npz", **arrays)
    made_with = f"keras {keras.__version__} on {keras.backend.backend()}, {result.testsRun} tests"
    (HERE / "keras_own.json").write_text(json.dumps({"made_with": made_with, "cases": told}) + "\n")
    print(made_with, len(told), "cases")
