"""Initial weights: each from the distribution that its name promises, in the dtype asked for, from the seed alone."""

import numpy as np
import pytest

import compuerta
from compuerta import initializers as init

DRAWS = {
    "glorot_uniform": lambda rng, dtype: init.glorot_uniform(rng, (60, 40), dtype),
    "uniform": lambda rng, dtype: init.uniform(rng, (60, 40), 0.25, dtype),
    "normal": lambda rng, dtype: init.normal(rng, (60, 40), 0.5, dtype),
    "orthogonal": lambda rng, dtype: init.orthogonal(rng, (60, 40), dtype),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_shape_dtype_and_seed(draw, dtype):
    first, again, other = (draw(np.random.default_rng(seed), dtype) for seed in (1, 1, 2))
    assert first.shape == (60, 40)
    assert first.dtype == dtype
    assert first.flags.c_contiguous
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(np.unique(first)) > 2000


def check_uniform(values, bound):
    """Within the bound, reaching it, mean and variance right, and every tenth of the range equally full."""
    assert np.abs(values).max() <= bound
    assert np.abs(values).max() > 0.99 * bound
    assert abs(values.mean()) < 4 * bound / np.sqrt(3 * values.size)
    counts, _ = np.histogram(values, 10, (-bound, bound))
    assert np.abs(counts - values.size / 10).max() < 5 * np.sqrt(values.size / 10)


def test_glorot_uniform(rng):
    check_uniform(init.glorot_uniform(rng, (300, 100)), np.sqrt(6 / 400))


def test_uniform(rng):
    check_uniform(init.uniform(rng, (50, 20, 10), 0.125), 0.125)


def test_normal(rng):
    w = init.normal(rng, (200, 100), 0.3)
    assert abs(w.std() - 0.3) < 0.01
    assert abs(w.mean()) < 0.01
    assert abs((np.abs(w) < 0.3).mean() - 0.6827) < 0.015  # the share within one deviation is a normal's


@pytest.mark.parametrize("shape", [(7, 7), (9, 4), (4, 9), (1, 1), (1, 5)])
def test_orthogonal(rng, shape):
    w = init.orthogonal(rng, shape)
    small = w.T @ w if shape[0] >= shape[1] else w @ w.T
    assert w.shape == shape
    np.testing.assert_allclose(small, np.eye(min(shape)), atol=1e-14)


def test_orthogonal_is_uniform_over_the_group():
    """Every entry is as often positive as negative, which QR alone does not give; its variance is 1/n."""
    draws = np.stack([init.orthogonal(np.random.default_rng(seed), (3, 3)) for seed in range(600)])
    assert np.abs((draws > 0).mean(0) - 0.5).max() < 0.09
    np.testing.assert_allclose(draws.var(0), 1 / 3, atol=0.06)
    assert 0.4 < (np.linalg.det(draws) > 0).mean() < 0.6


def test_chrono(rng):
    b_f, b_i = init.chrono(rng, 5000, 101)
    assert np.array_equal(b_f, -b_i)
    check_uniform(np.exp(b_f) - 50.5, 49.5)
    assert init.chrono(rng, 4, 2)[0].tolist() == [0, 0, 0, 0]  # U(1, 1)


def test_layers_are_born_with_them():
    layer = compuerta.LSTM(20, 30, 2, rng=3, forget_bias=1.5)
    for k, inputs in enumerate((20, 30)):
        for block in range(4):
            rows = slice(30 * block, 30 * block + 30)
            w_x, w_h = layer.parameters[f"w_x_l{k}"][rows], layer.parameters[f"w_h_l{k}"][rows]
            bound = np.sqrt(6 / (inputs + 30))  # of one block, not of the stack of four
            assert 0.97 * bound < np.abs(w_x).max() <= bound
            np.testing.assert_allclose(w_h @ w_h.T, np.eye(30), atol=1e-5)
        b = layer.parameters[f"b_l{k}"].reshape(4, 30)
        assert (b[1] == 1.5).all()
        assert not b[[0, 2, 3]].any()
    remembering = compuerta.LSTM(20, 30, rng=3, chrono=50)
    b = remembering.parameters["b_l0"].reshape(4, 30)
    assert np.array_equal(b[0], -b[1])
    assert b[1].min() >= 0
    assert np.exp(b[1]).max() <= 49
    assert len(np.unique(b[1])) == 30
    gru = compuerta.GRU(20, 30, rng=3)
    assert not gru.parameters["b_l0"].any()
    assert not gru.parameters["b_hn_l0"].any()
