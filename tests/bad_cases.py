"""Small layers, and the assertion that one refuses a call: what tests of bad and unusual input share."""

import numpy as np
import pytest

from compuerta import GRU, LSTM, Dense, Sequential
from compuerta.errors import CompuertaError
from layer_cases import shuffled

F, H = 3, 4


def randomized(layer, seed=0):
    return shuffled(layer, np.random.default_rng(seed))


LAYERS = {
    "LSTM": lambda **k: randomized(LSTM(F, H, rng=0, **k)),
    "GRU": lambda **k: randomized(GRU(F, H, rng=0, **k)),
    "Dense": lambda **k: randomized(Dense(F, H, rng=0, **k)),
    "Sequential": lambda **k: randomized(Sequential(LSTM(F, H, rng=0, **k), Dense(H, 2, rng=0, **k))),
}
every = pytest.mark.parametrize("name", LAYERS)
recurrent = pytest.mark.parametrize("name", ["LSTM", "GRU"])


def outputs(layer, *args, **kwargs):
    return layer.forward(*args, **kwargs)[0]


def refused(kind, pattern, layer, call):
    """The call raises ``kind`` with a sentence that matches, and the layer is as it was."""
    parameters, version = layer.parameters.flat.copy(), layer.parameters.version
    with pytest.raises(kind, match=pattern) as caught:
        call()
    assert isinstance(caught.value, CompuertaError)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
    assert caught.value.text("es") != str(caught.value)
    assert np.array_equal(layer.parameters.flat, parameters)
    assert layer.parameters.version == version
    return caught.value
