"""Activations: exact and silent over the whole range."""

import numpy as np

from compuerta.activations import sigmoid, softmax

TINY = np.finfo(np.float32).smallest_subnormal


def float32_sample():
    """About 140,000 float32 values: a stride through all bit patterns, the region of interest, and the corners."""
    patterns = np.arange(0, 2**32, 2**32 // 65521, dtype=np.uint64).astype(np.uint32).view(np.float32)
    corners = np.array([0, TINY, 2e-39, np.finfo(np.float32).tiny, 1e-8, 5e-4, 16.635532, 87.33654, 87.336555, 88.72283,
                        88.8, 103.27, 103.97208, 104, 3e38, np.finfo(np.float32).max, np.inf], np.float32)  # fmt: skip
    dense = np.linspace(-110, 110, 70_001, dtype=np.float32)
    x = np.concatenate((patterns, dense, corners, -corners))
    return x[~np.isnan(x)]


def reference(x):
    """σ in float64, by the form that keeps the tail, far more exact than float32 can show."""
    z = x.astype(np.float64)
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


def test_sigmoid_is_within_four_ulp_in_float32():
    x = float32_sample()
    with np.errstate(all="raise"):
        got = sigmoid(x)
    with np.errstate(under="ignore"):
        exact = reference(x)
        ulp = np.maximum(np.spacing(exact.astype(np.float32)), TINY).astype(np.float64)
    assert got.dtype == np.float32
    worst = np.abs(got - exact) / ulp
    assert worst.max() <= 4, f"{worst.max():.1f} ULP at {x[worst.argmax()]!r}"
    assert ((got >= 0) & (got <= 1)).all()
    tail = (x < -88) & (x > -103)
    assert tail.sum() > 1000
    assert (got[tail] > 0).all(), "the subnormal tail must not be flushed to zero"


def test_sigmoid_in_float64_and_float16():
    x = np.concatenate((np.linspace(-745, 745, 20_001), [5e-324, -5e-324, 1e308, -1e308, np.inf, -np.inf]))
    with np.errstate(all="raise"):
        got = sigmoid(x)
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.longdouble))
    np.testing.assert_allclose(got, exact.astype(float), rtol=1e-15, atol=5e-324)
    x = np.linspace(-20, 20, 401).astype(np.float16)
    assert sigmoid(x).dtype == np.float16
    np.testing.assert_allclose(sigmoid(x), reference(x), rtol=4e-3, atol=1e-7)


def test_sigmoid_of_nan_inf_scalars_and_shapes():
    with np.errstate(all="raise"):
        got = sigmoid(np.array([[np.nan, np.inf, -np.inf]], np.float32))
    assert np.isnan(got[0, 0])
    assert got[0, 1:].tolist() == [1, 0]
    assert sigmoid(np.float32(0)) == 0.5
    assert sigmoid(np.zeros((0, 3))).shape == (0, 3)
    x = np.linspace(-3, 3, 7)
    before = x.copy()
    sigmoid(x)
    assert np.array_equal(x, before)


def test_complex_step_through_sigmoid(rng):
    x = 4 * rng.standard_normal(200)
    s = sigmoid(x)
    np.testing.assert_allclose(sigmoid(x + 1e-30j).imag / 1e-30, s * (1 - s), rtol=1e-12, atol=1e-14)


def test_softmax(rng):
    x = 5 * rng.standard_normal((3, 4, 7))
    exact = np.exp(x) / np.exp(x).sum(-1, keepdims=True)
    np.testing.assert_allclose(softmax(x), exact, rtol=1e-13)
    np.testing.assert_allclose(softmax(x + 1000), exact, rtol=1e-11)


def test_softmax_over_the_whole_range_of_float32():
    with np.errstate(over="raise", invalid="raise"):
        got = softmax(np.array([3e38, -3e38, 3e38], np.float32))
    assert got.tolist() == [0.5, 0, 0.5]
