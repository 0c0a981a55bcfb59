"""Training operations other than the recurrence, in NumPy: the dense layer, cross-entropy with its gradient, Adam."""

from __future__ import annotations

import math
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: Elements per block: four arrays of them stay in a second-level cache.
_BLOCK = 1 << 15


class AdamNumbers(TypedDict):
    """The numbers of one step of Adam; see :class:`compuerta.recurrence.Engine`."""

    beta1: float
    beta2: float
    rate: float
    root: float
    epsilon: float
    decay_gradient: float
    decay_parameters: float


def dense(x: Array, w: Array, b: Array | None) -> Array:
    """Return x Wᵀ + b; see :class:`compuerta.recurrence.Engine`."""
    with np.errstate(all="ignore"):  # what overflows is infinite, and says so itself
        y: Array = x @ w.T
        if b is not None:
            y += b
    return y


def dense_back(x: Array, w: Array, dy: Array, dw: Array, db: Array | None) -> Array:
    """Return dx, and write dw and db; see :class:`compuerta.recurrence.Engine`."""
    with np.errstate(all="ignore"):
        np.matmul(dy.T, x, out=dw)
        if db is not None:
            np.sum(dy, axis=0, out=db)
        dx: Array = dy @ w
    return dx


def sum_of_squares(array: Array) -> float:
    """Return Σ a²; see :class:`compuerta.recurrence.Engine`."""
    with np.errstate(all="ignore"):
        total = float(np.dot(array, array)) if array.size else 0.0
        if not math.isfinite(total):  # the square may have overflowed where the sum does not in double
            total = float(np.square(array, dtype=np.float64).sum())
    return total


def cross_entropy(logits: Array, targets: Array, keep: Array | None, scale: float) -> tuple[float, Array]:
    """Return the sum of the losses and the gradient; see :class:`compuerta.recurrence.Engine`."""
    at = np.arange(len(targets)), targets
    with np.errstate(all="ignore"):  # the trainer reports a loss that is not finite
        shifted = logits - logits.max(axis=1, keepdims=True, initial=-np.inf)
        picked = shifted[at]
        gradient: Array = np.exp(shifted, out=shifted)
        total = gradient.sum(axis=1, keepdims=True)
        each = np.log(total[:, 0]) - picked
        gradient /= total
        gradient[at] -= 1
        if keep is not None:
            each = np.where(keep, each, 0)
            gradient[~keep] = 0
        gradient *= gradient.dtype.type(scale)
        return float(each.sum(dtype=np.float64)), gradient


def dense_cross_entropy(
    x: Array, w: Array, b: Array | None, targets: Array, keep: Array | None, scale: float, dw: Array, db: Array | None
) -> tuple[float, Array]:
    """Return the sum of the losses and dx, and write dw and db; see :class:`compuerta.recurrence.Engine`."""
    total, dy = cross_entropy(dense(x, w, b), targets, keep, scale)
    return total, dense_back(x, w, dy, dw, db)


def all_finite(array: Array) -> bool:
    """Return whether no number is NaN or infinite; see :class:`compuerta.recurrence.Engine`."""
    return bool(np.isfinite(array).all())


def adam(
    parameters: Array,
    gradient: Array,
    m: Array,
    v: Array,
    **numbers: Unpack[AdamNumbers],
) -> None:
    """Take one step in place, block by block; see :class:`compuerta.recurrence.Engine`."""
    real = parameters.dtype.type
    beta1, beta2, epsilon = real(numbers["beta1"]), real(numbers["beta2"]), real(numbers["epsilon"])
    rest1, rest2 = real(1 - numbers["beta1"]), real(1 - numbers["beta2"])
    rate, root = real(numbers["rate"]), real(numbers["root"])
    decay_gradient, decay_parameters = real(numbers["decay_gradient"]), real(numbers["decay_parameters"])
    scratch = np.empty(min(_BLOCK, parameters.size), parameters.dtype)
    for start in range(0, parameters.size, _BLOCK):
        part = slice(start, start + _BLOCK)
        p, g, m_, v_ = parameters[part], gradient[part], m[part], v[part]
        t = scratch[: p.size]
        if decay_parameters:
            np.multiply(p, decay_parameters, out=t)
            p -= t
        if decay_gradient:
            np.multiply(p, decay_gradient, out=t)
            g += t
        m_ *= beta1
        np.multiply(g, rest1, out=t)
        m_ += t
        v_ *= beta2
        np.multiply(g, g, out=t)
        t *= rest2
        v_ += t
        np.sqrt(v_, out=t)
        t *= root
        t += epsilon
        np.divide(m_, t, out=t)
        t *= rate
        p -= t
