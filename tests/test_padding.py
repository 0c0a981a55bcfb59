"""Padding of unequal rows, and the synthetic tasks."""

import numpy as np
import pytest

from compuerta.data import adding_problem, pad, seasonal_series
from compuerta.errors import DTypeError, SettingError, ShapeError


@pytest.mark.parametrize("features", [(), (1,), (3,)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_rows_stand_at_the_front_and_zeros_after(features, dtype):
    rng = np.random.default_rng(0)
    rows = [(rng.normal(size=(t, *features)) * 100 + 500).astype(dtype) for t in (4, 0, 7, 1)]
    x, lengths = pad(rows)
    assert x.shape == (4, 7, *features)
    assert x.dtype == dtype
    assert lengths.tolist() == [4, 0, 7, 1]
    for k, row in enumerate(rows):
        np.testing.assert_array_equal(x[k, : len(row)], row)
        assert not x[k, len(row) :].any()


def test_dtype_holds_all_rows_or_is_the_one_asked_for():
    rows = [np.ones((2, 1), np.float32), np.ones((1, 1), np.float64)]
    assert pad(rows)[0].dtype == np.float64
    assert pad(rows, dtype="float32")[0].dtype == np.float32


def test_lists_and_empty_rows():
    x, lengths = pad([[[1, 2], [3, 4]], [], [[5, 6]]])
    assert x.tolist() == [[[1, 2], [3, 4]], [[0, 0], [0, 0]], [[5, 6], [0, 0]]]
    assert x.dtype.kind == "i"
    assert lengths.tolist() == [2, 0, 1]
    assert pad([[], []])[0].shape == (2, 0)


def test_input_is_left_alone():
    row = np.arange(3.0)
    row.flags.writeable = False
    x, _ = pad([row])
    x += 1
    assert row.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([], ShapeError),
        ([[[1, 2]], [[1, 2, 3]]], ShapeError),
        ([[1, 2], [[1, 2]]], ShapeError),
        ([[1, [2, 3]]], ShapeError),
        ([np.zeros((2, 2, 2))], ShapeError),
        ([3.0, 4.0], ShapeError),
        ([["a"], ["b"]], DTypeError),
        ([[1j]], DTypeError),
        ([[None]], DTypeError),
    ],
)
def test_refuses(rows, error):
    with pytest.raises(error) as caught:
        pad(rows)
    assert caught.value.text("es") != caught.value.text("en")


def test_seasonal_series_is_what_it_says():
    clean = seasonal_series(48, period=12, trend=2.0, noise=0.0)
    np.testing.assert_allclose(clean[12:] - clean[:-12], 24.0)
    np.testing.assert_allclose(clean[:12].mean(), 100 + 2 * 5.5)
    noisy = seasonal_series(20_000, rng=3, trend=0.0, amplitude=0.0, noise=2.0)
    np.testing.assert_allclose(noisy.std(), 2.0, rtol=0.05)
    np.testing.assert_array_equal(noisy, seasonal_series(20_000, rng=3, trend=0.0, amplitude=0.0, noise=2.0))
    for bad in ({"n": 0}, {"n": 5, "period": 0}, {"n": 5, "noise": -1.0}, {"n": 5, "trend": float("nan")}):
        with pytest.raises(SettingError):
            seasonal_series(**bad)


@pytest.mark.parametrize("t", [2, 3, 50])
def test_adding_problem(t):
    x, y = adding_problem(2000, t, rng=0)
    assert x.shape == (2000, t, 2)
    assert y.shape == (2000, 1)
    assert x.dtype == y.dtype == np.float32
    values, marks = x[..., 0], x[..., 1]
    assert set(np.unique(marks)) <= {0.0, 1.0}
    assert (marks[:, : t // 2].sum(axis=1) == 1).all()
    assert (marks[:, t // 2 :].sum(axis=1) == 1).all()
    np.testing.assert_allclose(values[marks == 1].reshape(-1, 2).sum(axis=1), y[:, 0])
    np.testing.assert_allclose(np.square(y - 1).mean(), 1 / 6, rtol=0.1)
    assert (marks.sum(axis=0) > 0).all()
    with pytest.raises(SettingError):
        adding_problem(1, 1)
