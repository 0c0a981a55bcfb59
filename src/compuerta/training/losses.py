"""Losses: each returns its value and its gradient with respect to the predictions, both as means over the elements.

``mask`` leaves elements out of the mean (padding): it has the shape of the targets, True where an element counts.
``weights`` (N,), or of the shape of the targets, make it a weighted mean.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, recurrence
from ..errors import DTypeError, ShapeError
from ..layers import Dense

Array = NDArray[Any]
Loss = Callable[..., tuple[float, Array]]


def cross_entropy(
    logits: Array, targets: ArrayLike, mask: ArrayLike | None = None, weights: ArrayLike | None = None
) -> tuple[float, Array]:
    r"""Return the mean of :math:`-\log \mathrm{softmax}(z)_{y}` in nats, and its gradient.

    Args:
        logits: (..., V).
        targets: (...), class numbers in [0, V).
        mask: (...), optional.
        weights: (...) or (N,), optional.

    Raises:
        ShapeError: the shapes do not fit, or a target lies outside [0, V).
        DTypeError: the targets are not integers.

    >>> value, gradient = cross_entropy(np.zeros((1, 4)), [2])
    >>> round(value, 4), gradient
    (1.3863, array([[ 0.25, 0.25, -0.75, 0.25]]))
    """
    classes = logits.shape[-1] if logits.ndim else 0
    y = _classes(targets, logits.shape[:-1], classes)
    keep, count = _mask(mask, y.shape)
    if weights is not None:
        w = _weights(weights, keep, y.shape)
        _, gradient = recurrence.active().cross_entropy(logits.reshape(-1, classes), y.ravel(), None, 1.0)
        with np.errstate(all="ignore"):
            z = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True, initial=-np.inf)
            each = np.log(np.exp(z).sum(axis=-1)) - np.take_along_axis(z, y[..., None], axis=-1)[..., 0]
            value = float(np.where(w > 0, each * w, 0).sum())
            return value, np.where(w[..., None] > 0, gradient.reshape(logits.shape) * w[..., None], 0).astype(
                gradient.dtype
            )
    total, gradient = recurrence.active().cross_entropy(
        logits.reshape(-1, classes), y.ravel(), None if keep is None else keep.ravel(), 1 / max(count, 1)
    )
    return total / max(count, 1), gradient.reshape(logits.shape)


def dense_cross_entropy(
    dense: Dense, x: Array, targets: ArrayLike, out: Array, mask: ArrayLike | None = None
) -> tuple[float, Array]:
    """Return :func:`cross_entropy` of the logits ``dense(x)`` and its gradient with respect to ``x``, at once.

    The logits are never there as a whole: what a layer over many classes would fill memory with.

    Args:
        dense: the layer.
        x: (..., inputs), of the layer's dtype.
        targets: (...), class numbers.
        out: flat, of the size of the layer's parameters; their gradient is written into it.
        mask: (...), optional.

    Raises:
        ShapeError, DTypeError: as :func:`cross_entropy`.

    >>> layer, gradient = Dense(2, 4, zero=True), np.empty(12, np.float32)
    >>> value, dx = dense_cross_entropy(layer, np.ones((1, 2), np.float32), [2], gradient)
    >>> round(value, 4), dx, layer.parameters.named(gradient)["b"]
    (1.3863, array([[0., 0.]], dtype=float32), array([ 0.25, 0.25, -0.75, 0.25], dtype=float32))
    """
    y = _classes(targets, x.shape[:-1], dense.output_size)
    d = dense.parameters.named(out)
    keep, count = _mask(mask, y.shape)
    count = max(count, 1)
    total, dx = recurrence.active().dense_cross_entropy(
        x.reshape(-1, dense.input_size), dense.parameters["w"], dense.parameters["b"], y.ravel(),
        None if keep is None else keep.ravel(), 1 / count, d["w"], d["b"],
    )  # fmt: skip
    return total / count, dx.reshape(x.shape)


def squared_error(
    predictions: Array, targets: ArrayLike, mask: ArrayLike | None = None, weights: ArrayLike | None = None
) -> tuple[float, Array]:
    """Return the mean of (p − y)² and its gradient.

    >>> squared_error(np.array([3.0]), [1.0])
    (4.0, array([4.]))
    """
    difference, w = _difference(predictions, targets, mask, weights)
    value = float((w * np.square(difference, dtype=np.float64)).sum())
    return value, difference * (2 * w).astype(difference.dtype)


def absolute_error(
    predictions: Array, targets: ArrayLike, mask: ArrayLike | None = None, weights: ArrayLike | None = None
) -> tuple[float, Array]:
    """Return the mean of |p − y| and its gradient (0 where p = y).

    >>> absolute_error(np.array([3.0, 0.0]), [1.0, 0.0])
    (1.0, array([0.5, 0. ]))
    """
    difference, w = _difference(predictions, targets, mask, weights)
    value = float((w * np.abs(difference, dtype=np.float64)).sum())
    return value, np.sign(difference) * w.astype(difference.dtype)


def quantile_loss(
    predictions: Array, targets: ArrayLike, mask: ArrayLike | None = None, *, levels: ArrayLike = (0.1, 0.5, 0.9)
) -> tuple[float, Array]:
    r"""Return the mean of :math:`\max(q\,(y − p),\,(q − 1)(y − p))` over elements and levels, and its gradient.

    Its minimum is where p is the q-quantile of y. Source: Koenker and Bassett 1978.

    Args:
        predictions: (..., Q), one for each level.
        targets: (...).
        mask: (...), optional.
        levels: Q numbers between 0 and 1.

    >>> quantile_loss(np.array([[1.0, 1.0]]), [2.0], levels=[0.1, 0.9])
    (0.5, array([[-0.05, -0.45]]))
    """
    q = np.asarray(levels, predictions.dtype)
    y = np.asarray(targets, predictions.dtype)
    for level in np.ravel(levels):
        checks.number(float(level), "level", low=0.0, high=1.0)
    if predictions.shape != (*y.shape, len(q)):
        raise ShapeError("error.predictions_shape", expected=(*y.shape, len(q)), got=predictions.shape)
    keep, count = _mask(mask, y.shape)
    count = max(count, 1) * len(q)
    with np.errstate(all="ignore"):
        difference = predictions - y[..., None]
        slope = np.where(difference > 0, 1 - q, -q)
        if keep is not None:
            difference, slope = (np.where(keep[..., None], a, a.dtype.type(0)) for a in (difference, slope))
        value = float((slope * difference).sum(dtype=np.float64)) / count
        return value, slope * predictions.dtype.type(1 / count)


def _classes(targets: ArrayLike, shape: tuple[int, ...], classes: int) -> NDArray[np.integer[Any]]:
    """Return class numbers in [0, classes) of the shape given."""
    y = np.asarray(targets)
    if y.dtype.kind not in "iu":
        raise DTypeError("error.targets_kind", got=y.dtype.name)
    if y.shape != shape:
        raise ShapeError("error.targets_shape", expected=shape, got=y.shape)
    if y.size and (y.min() < 0 or y.max() >= classes):
        bad = y[(y < 0) | (y >= classes)][0]
        raise ShapeError("error.targets_range", classes=classes, got=int(bad))
    return y


def _mask(mask: ArrayLike | None, shape: tuple[int, ...]) -> tuple[NDArray[np.bool_] | None, int]:
    if mask is None:
        return None, int(np.prod(shape))
    keep = np.asarray(mask)
    if keep.shape != shape or keep.dtype != np.bool_:
        raise ShapeError("error.mask", expected=shape, got=f"{keep.dtype.name} {keep.shape}")
    return keep, int(keep.sum())


def _weights(weights: ArrayLike, keep: NDArray[np.bool_] | None, shape: tuple[int, ...]) -> Array:
    """Return the share that each element has of the mean, of the shape of the targets.

    Raises:
        ShapeError: the weights have another shape, are negative or not finite.
    """
    w = np.asarray(weights, np.float64)
    if w.shape == shape[:1]:
        w = w.reshape(*shape[:1], *[1] * (len(shape) - 1))
    elif w.shape != shape:
        raise ShapeError("error.weights", expected=shape, rows=shape[:1], got=w.shape)
    if not (np.isfinite(w) & (w >= 0)).all():
        raise ShapeError("error.weights_range", got=float(w[~(np.isfinite(w) & (w >= 0))][0]))
    w = np.broadcast_to(w, shape) if keep is None else np.where(keep, w, 0.0)
    total = float(w.sum())
    return w / total if total > 0 else w


def _difference(
    predictions: Array, targets: ArrayLike, mask: ArrayLike | None, weights: ArrayLike | None
) -> tuple[Array, Any]:
    """Return p − y, zero where an element does not count, and the share of the mean that each has."""
    dtype = np.result_type(predictions, np.float32) if predictions.dtype.kind in "iub" else predictions.dtype
    p, y = np.asarray(predictions, dtype), np.asarray(targets, dtype)
    if y.shape != p.shape:
        raise ShapeError("error.targets_shape", expected=p.shape, got=y.shape)
    keep, count = _mask(mask, y.shape)
    with np.errstate(all="ignore"):
        difference = p - y if keep is None else np.where(keep, p - y, dtype.type(0))
    return difference, np.float64(1 / max(count, 1)) if weights is None else _weights(weights, keep, y.shape)
