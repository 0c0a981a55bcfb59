"""Values that are not finite, huge or subnormal: arithmetic that saturates without a warning, each row for itself.

Warnings are errors in this suite, so "no warning" is asserted by every call here.
"""

import numpy as np
import pytest

import compuerta
from bad_cases import LAYERS, F, H, every, outputs, recurrent, refused
from compuerta import GRU, LSTM, Dense, Dropout
from compuerta.errors import NonFiniteError


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e300])
@pytest.mark.parametrize("name", [*LAYERS, "both ways"])
def test_11_12_a_bad_value_stays_in_its_own_row(name, value):
    layer = LAYERS["LSTM"](num_layers=2, bidirectional=True) if name == "both ways" else LAYERS[name]()
    x = np.random.default_rng(5).standard_normal((4, 6, F))
    expected = outputs(layer, x)
    x[1, 2, 0] = value
    y, _, tape = layer.forward(x, record=True)
    others = [0, 2, 3]
    assert np.array_equal(y[others], expected[others])
    if name != "both ways":
        assert np.array_equal(y[1, :2], expected[1, :2])
    if np.isnan(value):
        assert np.isnan(y[1, 2]).all()
    dx = layer.backward(tape, np.ones_like(y)).x
    assert np.isfinite(dx[others]).all()


@pytest.mark.parametrize("value", [np.inf, -np.inf, 3e38, -3e38])
@recurrent
def test_12_infinity_and_huge_values_saturate(name, value):
    layer = LAYERS[name]()
    x = np.random.default_rng(6).standard_normal((2, 6, F)).astype("f4")
    x[:, 3, 1] = value
    big = x.copy()
    big[:, 3, 1] = np.sign(value) * 1e6
    y = outputs(layer, x)
    assert np.isfinite(y).all()
    np.testing.assert_allclose(y, outputs(layer, big), atol=1e-6)
    stream = layer.stream(2)
    for t in range(6):
        np.testing.assert_allclose(stream(x[:, t]), y[:, t], atol=1e-6)


def test_12_huge_states_and_weights():
    layer = LAYERS["LSTM"]()
    state = (np.full((1, 2, H), -3e38, "f4"), np.full((1, 2, H), 3e38, "f4"))
    y, (h, c) = layer(np.ones((2, 5, F)), state)
    assert np.isfinite(y).all()
    assert np.isfinite(c).all()
    assert np.abs(h).max() <= 1
    layer.parameters["w_x_l0"] = np.where(layer.parameters["w_x_l0"] > 0, 3e38, -3e38)
    assert np.isfinite(outputs(layer, np.ones((2, 5, F)) * [1, 0, 0])).all()


def test_12_dense_and_dropout_overflow_without_a_warning():
    layer = Dense(2, 2, rng=0)
    layer.parameters["w"] = [[2.0, 2.0], [-3.0, 0.5]]
    for value in (3e38, np.inf, -np.inf):
        x = np.full((1, 3, 2), value, "f4")
        y, _, tape = layer.forward(x, record=True)
        assert y[0, 0, 0] == np.sign(value) * np.inf
        layer.backward(tape, x)
    dropout = Dropout(0.5)
    y, _, tape = dropout.forward(np.full((2, 3, 8), 3e38), record=True, rng=0)
    assert set(np.unique(y)) == {0, np.inf}
    dropout.backward(tape, np.full((2, 3, 8), 3e38))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("make", [LSTM, GRU])
def test_12_all_features_infinite_saturate_too(make, dtype):
    """∞ − ∞ is NaN, but ±∞ at every input is a saturated gate: what a very large number gives, gradients too."""
    layer = make(F, H, dtype=dtype, rng=0)
    for value, large in ((np.inf, 1e29), (-np.inf, -1e29), (np.finfo(dtype).max, 1e29)):
        y, _, tape = layer.forward(np.full((2, 4, F), value), record=True)
        assert np.array_equal(y, layer(np.full((2, 4, F), large))[0])
        grads = layer.backward(tape, np.ones_like(y))
        assert np.isfinite(grads.flat).all()


@recurrent
def test_11_12_gradients_that_are_not_finite_do_not_warn(name):
    layer = LAYERS[name](num_layers=2, bidirectional=True)
    x = np.random.default_rng(7).standard_normal((3, 4, F))
    y, _, tape = layer.forward(x, record=True)
    for value in (np.nan, np.inf, 3e38):
        dy = np.ones_like(y)
        dy[0, 2, :] = value
        dy[0, 2, ::2] *= -1
        grads = layer.backward(tape, dy)
        assert np.isfinite(grads.x[1:]).all()


@every
def test_11_check_finite_raises_and_names_the_place(name):
    layer = LAYERS[name]()
    x = np.ones((2, 5, F))
    outputs(layer, x, check_finite=True)
    for value in (np.nan, np.inf):
        x[1, 3, 2] = value
        pattern = rf"inputs must be finite; got {value} at \(1, 3, 2\)"
        refused(NonFiniteError, pattern, layer, lambda: layer.forward(x, check_finite=True))


def test_11_check_finite_does_not_read_the_padding():
    x = np.ones((2, 5, F))
    x[1, 3:] = np.nan
    layer = LAYERS["LSTM"]()
    y = outputs(layer, x, lengths=[5, 3], check_finite=True)
    assert np.array_equal(y, outputs(layer, x, lengths=[5, 3]))
    x[1, 2, 0] = np.nan
    refused(NonFiniteError, r"at \(1, 2, 0\)", layer, lambda: layer.forward(x, lengths=[5, 3], check_finite=True))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@recurrent
def test_13_subnormals(name, dtype):
    """Inputs, state and weights below the smallest normal number: exact in NumPy, 0 in the native engine."""
    tiny = np.finfo(dtype).smallest_subnormal
    layer = LAYERS[name](dtype=dtype)
    rng = np.random.default_rng(8)
    x = (rng.integers(-9, 9, (2, 4, F)) * tiny).astype(dtype)
    np.testing.assert_allclose(outputs(layer, x), outputs(layer, np.zeros_like(x)), atol=1e-6)
    if name == "LSTM":  # a cell state far below, kept by an open gate and read off exactly
        layer.parameters["b_l0"] = np.repeat([-1e4, 1e4, 0, 1e4], H)
        layer.parameters["w_x_l0"] = np.zeros((4 * H, F))
        layer.parameters["w_h_l0"] = np.zeros((4 * H, H))
        c0 = (rng.integers(1, 100, (1, 2, H)) * tiny).astype(dtype)
        _, (h, c) = layer(x, (np.zeros((1, 2, H)), c0))
        expected = c0 if compuerta.engine() == "numpy" else np.zeros_like(c0)
        assert np.array_equal(c, expected)
        assert np.array_equal(h, expected)
