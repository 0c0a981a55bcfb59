"""The layers without a recurrence: Dense, Embedding, Dropout, Last and Activation."""

import numpy as np
import pytest

from compuerta import Dense, Dropout, Embedding, Last
from compuerta.errors import SettingError, ShapeError
from compuerta.layers import Activation
from layer_cases import make, shuffled


def test_last_and_embedding_and_dense(rng):
    x = rng.standard_normal((3, 4, 2))
    layer = Last(dtype="float64")
    y, _, tape = layer.forward(x, lengths=[2, 0, 4], record=True)
    assert np.array_equal(y[:, 0], np.stack((x[0, 1], [0, 0], x[2, 3])))
    dy = rng.standard_normal((3, 1, 2))
    dx = layer.backward(tape, dy).x
    assert np.array_equal(dx[0, 1], dy[0, 0])
    assert np.array_equal(dx[2, 3], dy[2, 0])
    assert np.count_nonzero(dx) == 4
    assert np.array_equal(layer(x)[:, 0], x[:, -1])

    table = Embedding(5, 3, dtype="float64", rng=0)
    assert np.array_equal(table([[4, 0]])[0], table.parameters["w"][[4, 0]])
    assert len(np.unique(table.parameters["w"])) == 15

    dense = shuffled(Dense(2, 3, dtype="float64", rng=0), rng)
    expected = [[dense.parameters["w"] @ x_t + dense.parameters["b"] for x_t in row] for row in x]
    np.testing.assert_allclose(dense(x), expected, rtol=1e-14)
    assert not Dense(2, 3, zero=True).parameters.flat.any()


def test_the_last_of_both_directions_is_their_final_state(rng):
    layer = make("lstm", rng, 3, 4, bidirectional=True)
    y, (h, _) = layer(rng.standard_normal((3, 6, 3)), lengths=[6, 2, 0])
    last = Last(dtype="float64", both_ends=True)
    z, _, tape = last.forward(y, lengths=[6, 2, 0], record=True)
    assert np.array_equal(z[:, 0], np.concatenate((h[0], h[1]), axis=1))
    dz = rng.standard_normal(z.shape)
    other = rng.standard_normal(y.shape)  # <dx, x> = <dz, Last(x)>: what is linear has its transpose for a gradient
    np.testing.assert_allclose((last.backward(tape, dz).x * other).sum(), (dz * last(other, lengths=[6, 2, 0])).sum())
    with pytest.raises(ShapeError, match="even number of features"):
        last(np.zeros((1, 2, 3)))


@pytest.mark.parametrize("kind", Activation.KINDS)
def test_activation(rng, kind):
    layer = Activation(kind, dtype="float64")
    x = rng.standard_normal((2, 3, 5))
    y, _, tape = layer.forward(x, record=True)
    exponent = np.exp(x)
    expected = {"relu": np.where(x > 0, x, 0), "tanh": (exponent - 1 / exponent) / (exponent + 1 / exponent),
                "sigmoid": exponent / (exponent + 1), "softmax": exponent / exponent.sum(2, keepdims=True),
                "log_softmax": np.log(exponent / exponent.sum(2, keepdims=True))}  # fmt: skip
    np.testing.assert_allclose(y, expected[kind], rtol=1e-13)
    dy, small = rng.standard_normal(y.shape), 1e-6 * rng.standard_normal(y.shape)
    difference = (dy * (layer(x + small) - layer(x - small))).sum() / 2
    np.testing.assert_allclose((layer.backward(tape, dy).x * small).sum(), difference, rtol=1e-6)
    assert layer(np.zeros((0, 3, 5))).shape == (0, 3, 5)
    assert layer(np.zeros((2, 0, 5))).shape == (2, 0, 5)
    with pytest.raises(SettingError, match="kind must be one of log_softmax"):
        Activation("swish")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [3e38, np.inf, np.nan])
@pytest.mark.parametrize("kind", Activation.KINDS)
def test_gradients_of_an_activation_that_overflow_warn_of_nothing(kind, value):
    layer = Activation(kind)
    for x in (1.0, 200.0, -200.0):
        y, _, tape = layer.forward(np.full((2, 3, 4), x, np.float32), record=True)
        assert layer.backward(tape, np.full_like(y, value)).x.shape == y.shape


@pytest.mark.parametrize("p", [0.2, 0.75])
def test_dropout(rng, p):
    layer = Dropout(p, dtype="float64")
    x = 1 + rng.random((20, 50, 40))
    y, _, tape = layer.forward(x, record=True, rng=3)
    zeros = y == 0
    assert abs(zeros.mean() - p) < 0.01
    np.testing.assert_allclose(y[~zeros], x[~zeros] / (1 - p), rtol=1e-15)
    assert np.array_equal(layer.backward(tape, x).x, y)
    assert np.array_equal(layer.forward(x, rng=3)[0], y)
    assert not np.array_equal(layer.forward(x, rng=4)[0], y)
    assert np.array_equal(layer(x), x)
    *_, tape = layer.forward(x, record=True)
    assert np.array_equal(layer.backward(tape, x).x, x)
