"""Recurrent layers of every kind with random weights, and states as they nest: what tests of layers share."""

import numpy as np
import pytest

from compuerta import GRU, LSTM, MinLSTM, Sequential
from compuerta.layers import LAYERS

RECURRENT = {
    "lstm": lambda *a, **k: LSTM(*a, **k),
    "gru_after": lambda *a, **k: GRU(*a, **k),
    "gru_before": lambda *a, **k: GRU(*a, reset_after=False, **k),
    "gru_functions": lambda *a, **k: GRU(
        *a, gate_activation=["HardSigmoid", 0.3, 0.4], input_activation="Softsign", **k
    ),
    "min_lstm": lambda *a, **k: MinLSTM(*a, **k),
}
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}
kinds = pytest.mark.parametrize("kind", RECURRENT)
dtypes = pytest.mark.parametrize("dtype", TOLERANCE)


def shuffled(layer, rng, scale=0.6):
    """Make every parameter random, biases too: what starts at 0 or 1 would hide faults."""
    for name, shape in layer.parameters.shapes.items():
        layer.parameters[name] = scale * rng.standard_normal(shape)
    return layer


def make(kind, rng, *sizes, dtype="float64", **options):
    return shuffled(RECURRENT[kind](*sizes, dtype=dtype, rng=0, **options), rng)


def leaves(state):
    """The arrays of a state, however it is nested."""
    return [state] if isinstance(state, np.ndarray) else [a for part in state for a in leaves(part)]


def like(state, arrays):
    """Put arrays in the nesting of a state."""
    if isinstance(state, np.ndarray):
        return next(arrays)
    return tuple(like(part, arrays) for part in state)


def random_state(layer, n, rng):
    parts = [rng.standard_normal((layer.num_layers * layer.directions, n, layer.hidden_size)) for _ in layer.parts]
    return tuple(parts) if len(parts) > 1 else parts[0]


def same(got, expected, dtype="float64", what=""):
    got, expected = leaves(got), leaves(expected)
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape, what
        np.testing.assert_allclose(a, b, rtol=0, atol=TOLERANCE[dtype] * max(1, np.abs(b).max(initial=0)), err_msg=what)


def rebuilt(model):
    """A new model from the configuration of another."""
    if isinstance(model, Sequential):
        return Sequential(*(LAYERS[name](**config) for name, config in model.config()["layers"]))
    return type(model)(**model.config())
