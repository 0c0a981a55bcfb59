"""Losses: their values by hand and by another formula, their gradients by central differences, their refusals."""

import math

import numpy as np
import pytest

from compuerta import training
from compuerta.errors import DTypeError, ShapeError
from compuerta.training import absolute_error, cross_entropy, quantile_loss, squared_error


def quantiles(predictions, targets, mask=None):
    return quantile_loss(predictions, targets, mask, levels=(0.1, 0.5, 0.8))


def made(rng, loss):
    """Predictions and targets of a batch (3, 4) for a loss; no prediction lies at a kink."""
    if loss is cross_entropy:
        return 2 * rng.normal(size=(3, 4, 5)), rng.integers(0, 5, (3, 4))
    if loss is quantiles:
        return rng.normal(size=(3, 4, 3)), rng.normal(size=(3, 4))
    return rng.normal(size=(3, 4)), rng.normal(size=(3, 4))


LOSSES = [cross_entropy, squared_error, absolute_error, quantiles]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("masked", [False, True])
def test_gradient_by_central_differences(loss, masked, rng):
    predictions, targets = made(rng, loss)
    mask = rng.random((3, 4)) < 0.6 if masked else None
    value, gradient = loss(predictions, targets, mask)
    assert gradient.shape == predictions.shape
    expected = np.zeros_like(predictions)
    for at in np.ndindex(predictions.shape):
        ends = []
        for step in (1e-6, -1e-6):
            moved = predictions.copy()
            moved[at] += step
            ends.append(loss(moved, targets, mask)[0])
        expected[at] = (ends[0] - ends[1]) / 2e-6
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-8)
    assert value > 0


@pytest.mark.parametrize("loss", LOSSES)
def test_a_mask_leaves_elements_out_whatever_they_are(loss, rng):
    """The value is that of the rows that count alone; what stands in the others may be anything, NaN too."""
    predictions, targets = made(rng, loss)
    mask = np.zeros((3, 4), bool)
    mask[0, 1] = mask[2] = True
    expected, expected_gradient = loss(predictions[mask], targets[mask])
    predictions[~mask] = np.nan
    if targets.dtype.kind == "f":
        targets[~mask] = np.nan
    value, gradient = loss(predictions, targets, mask)
    assert value == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(gradient[mask], expected_gradient, rtol=1e-14)
    assert not gradient[~mask].any()


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_counts(loss, rng):
    predictions, targets = made(rng, loss)
    value, gradient = loss(predictions, targets, np.zeros((3, 4), bool))
    assert value == 0
    assert not gradient.any()
    value, gradient = loss(predictions[:0], targets[:0])
    assert value == 0
    assert gradient.shape == predictions[:0].shape


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_gradient_has_the_dtype_of_the_predictions_which_stay(loss, dtype, rng):
    predictions, targets = made(rng, loss)
    predictions = predictions.astype(dtype)
    before = predictions.copy()
    value, gradient = loss(predictions, targets)
    assert type(value) is float
    assert gradient.dtype == dtype
    np.testing.assert_array_equal(predictions, before)
    exact = loss(predictions.astype(np.float64), targets)[0]
    assert value == pytest.approx(exact, rel=1e-6 if dtype == np.float32 else 1e-15)


# ---- by hand --------------------------------------------------------------------------------------------------------


def test_cross_entropy_by_hand():
    # softmax([ln 2, ln 6, 0]) = (2, 6, 1) / 9, and softmax(0, 0, 0) = 1/3 each
    logits = np.array([[math.log(2), math.log(6), 0.0], [0.0, 0.0, 0.0]])
    value, gradient = cross_entropy(logits, [1, 2])
    assert value == pytest.approx((math.log(9 / 6) + math.log(3)) / 2, rel=1e-15)
    np.testing.assert_allclose(gradient, np.array([[2 / 9, -3 / 9, 1 / 9], [1 / 3, 1 / 3, -2 / 3]]) / 2, rtol=1e-14)


def test_cross_entropy_of_large_logits_neither_overflows_nor_rounds_to_nothing():
    for dtype in (np.float32, np.float64):
        value, gradient = cross_entropy(np.array([[1000.0, 0.0], [-3000.0, -3001.0]], dtype), [1, 0])
        assert value == pytest.approx((1000 + math.log1p(math.exp(-1))) / 2, rel=1e-6)
        np.testing.assert_allclose(gradient[0], [0.5, -0.5], rtol=1e-6)
    shifted = cross_entropy(np.array([[1.0, 2.0]]) + 5e5, [0])[0]
    assert shifted == pytest.approx(cross_entropy(np.array([[1.0, 2.0]]), [0])[0], rel=1e-9)


def test_squared_and_absolute_error_by_hand():
    value, gradient = squared_error(np.array([[1.0, -2.0], [0.5, 4.0]]), [[0.0, 1.0], [0.5, 2.0]])
    assert value == (1 + 9 + 0 + 4) / 4
    np.testing.assert_array_equal(gradient, [[0.5, -1.5], [0.0, 1.0]])
    value, gradient = absolute_error(np.array([[1.0, -2.0], [0.5, 4.0]]), [[0.0, 1.0], [0.5, 2.0]])
    assert value == (1 + 3 + 0 + 2) / 4
    np.testing.assert_array_equal(gradient, [[0.25, -0.25], [0.0, 0.25]])
    value, gradient = squared_error(np.array([1.0, -2.0]), [0.0, 1.0], [False, True])
    assert value == 9
    np.testing.assert_array_equal(gradient, [0.0, -6.0])


def test_quantile_loss_by_hand():
    # y - p = 3 and -1 (level 0.25); -2 and 6 (level 0.75)
    predictions, targets = np.array([[1.0, 6.0], [3.0, -4.0]]), [4.0, 2.0]
    value, gradient = quantile_loss(predictions, targets, levels=[0.25, 0.75])
    assert value == (0.25 * 3 + 0.25 * 2 + 0.75 * 1 + 0.75 * 6) / 4
    np.testing.assert_array_equal(gradient, np.array([[-0.25, 0.25], [0.75, -0.75]]) / 4)


def test_the_least_quantile_loss_is_at_the_quantiles(rng):
    sample, levels = rng.gamma(2.0, size=2001), np.array([0.1, 0.5, 0.9])
    best = np.quantile(sample, levels)

    def loss(p):
        return quantile_loss(np.broadcast_to(p, (len(sample), 3)), sample, levels=levels)[0]

    for k in range(3):
        for step in (-0.05, 0.05):
            assert loss(best + step * np.eye(3)[k]) > loss(best)


def test_what_is_not_finite_comes_back_without_a_warning():
    for bad in (np.nan, np.inf):
        assert not math.isfinite(cross_entropy(np.array([[bad, 1.0]], np.float32), [1])[0])
        for loss in (squared_error, absolute_error):
            assert not math.isfinite(loss(np.array([bad, 1.0], np.float32), [1.0, bad])[0])
        assert not math.isfinite(quantiles(np.array([[bad, 1.0, 1.0]], np.float32), [bad])[0])
    value, gradient = squared_error(np.array([3e38, 1.0], np.float32), [-3e38, 1.0])
    assert value == math.inf
    assert gradient[0] == math.inf


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "predictions", "targets", "error", "said"),
    [
        (cross_entropy, (2, 5), [0, 5], ShapeError, "[0, 5)"),
        (cross_entropy, (2, 5), [-1, 0], ShapeError, "got -1"),
        (cross_entropy, (2, 5), [0, 1, 2], ShapeError, "(2,)"),
        (cross_entropy, (2, 5), [[0], [1]], ShapeError, "got (2, 1)"),
        (cross_entropy, (2, 5), [0.0, 1.0], DTypeError, "float64"),
        (cross_entropy, (2, 5), [True, False], DTypeError, "bool"),
        (squared_error, (2, 5), np.zeros((5, 2)), ShapeError, "(2, 5)"),
        (squared_error, (2, 1), np.zeros(2), ShapeError, "(2, 1)"),  # must not broadcast to (2, 2)
        (absolute_error, (2, 1), np.zeros(2), ShapeError, "got (2,)"),
        (quantiles, (2, 3), np.zeros((2, 3)), ShapeError, "got (2, 3)"),
    ],
)
def test_what_does_not_fit_is_refused(loss, predictions, targets, error, said):
    with pytest.raises(error) as caught:
        loss(np.zeros(predictions), targets)
    assert said in str(caught.value)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("mask", [np.ones((4, 3), bool), np.ones((3, 4)), np.ones((3, 4), int), [True]])
def test_a_mask_must_be_bool_and_have_the_shape_of_the_targets(loss, mask, rng):
    with pytest.raises(ShapeError, match=r"mask must be bool \(3, 4\)"):
        loss(*made(rng, loss), mask)


def test_as_many_predictions_as_levels():
    with pytest.raises(ShapeError) as caught:
        quantile_loss(np.zeros((2, 3)), [1.0, 2.0], levels=[0.1, 0.9])
    assert "(2, 2)" in str(caught.value)
    assert "(2, 3)" in str(caught.value)


@pytest.mark.parametrize("level", [-0.1, 1.5, math.nan])
def test_levels_lie_between_0_and_1(level):
    with pytest.raises(ValueError, match="level"):
        quantile_loss(np.zeros((2, 2)), [1.0, 2.0], levels=[0.5, level])


# ---- weights --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["squared_error", "absolute_error", "cross_entropy"])
@pytest.mark.parametrize("per", ["row", "element"])
def test_a_weight_of_three_is_the_same_as_being_there_three_times(name, per):
    rng, loss = np.random.default_rng(0), getattr(training, name)
    counts = rng.integers(0, 4, 5 if per == "row" else (5, 3))
    if name == "cross_entropy":
        p, y = rng.normal(size=(5, 3, 4)), rng.integers(0, 4, (5, 3))
    else:
        p, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    each = np.broadcast_to(counts if per == "element" else counts[:, None], (5, 3)).ravel()
    flat = p.reshape(15, *p.shape[2:])
    repeated = np.repeat(np.arange(15), each)
    value, gradient = loss(p, y, weights=0.25 * counts)
    expected, parts = loss(flat[repeated], y.ravel()[repeated])
    summed = np.zeros_like(flat)
    np.add.at(summed, repeated, parts)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient.reshape(summed.shape), summed, rtol=1e-10, atol=1e-15)
    mask = rng.random((5, 3)) < 0.6
    both, slope = loss(p, y, mask, weights=counts)
    expected, other = loss(p, y, weights=np.broadcast_to(each.reshape(5, 3), (5, 3)) * mask)
    assert both == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(slope, other, rtol=1e-12)


@pytest.mark.parametrize("bad", [[1.0], np.ones((2, 5)), [1.0, -1.0, 1.0], [1.0, np.nan, 1.0]])
def test_weights_that_make_no_sense_are_refused(bad):
    with pytest.raises(ShapeError, match="weights must"):
        training.squared_error(np.ones((3, 2)), np.ones((3, 2)), weights=bad)


@pytest.mark.parametrize("loss", [training.squared_error, training.absolute_error])
def test_whole_numbers_have_a_gradient_too(loss):
    value, gradient = loss(np.array([3, 1]), [1, 1])
    expected, slope = loss(np.array([3.0, 1.0]), [1.0, 1.0])
    assert value == expected
    np.testing.assert_array_equal(gradient, slope)
