r"""Layer normalisation of rows, and its way back (Ba, Kiros and Hinton 2016).

.. math::  v = s\,(a - μ), \qquad s = 1/\sqrt{σ^2 + ε}, \qquad da = s\,(dv - \overline{dv} - v\,\overline{v ⊙ dv})

with the means over each row. Gains and offsets are the caller's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

#: ε, as in PyTorch and haste: a row of equal numbers becomes zeros.
EPSILON = 1e-5


class Normalized(NamedTuple):
    """Rows of mean 0 and variance 1, and what each was multiplied by."""

    value: Array  # (n, K)
    scale: Array  # (n, 1)


def _mean(a: Array) -> Array:
    """The mean of each row, (n, 1); at the sizes of one step ``a.mean`` takes twice as long."""
    mean: Array = np.add.reduce(a, axis=1, keepdims=True) * (1 / a.shape[1])
    return mean


def normalize(a: Array) -> Normalized:
    """Normalise the rows of ``a`` (n, K); complex numbers pass, for complex-step derivatives.

    >>> normalize(np.array([[1.0, 2.0, 3.0]])).value.round(3)
    array([[-1.225,  0.   ,  1.225]])
    """
    value = a - _mean(a)
    scale = 1 / np.sqrt(_mean(value * value) + EPSILON)
    value *= scale
    return Normalized(value, scale)


def normalize_backward(n: Normalized, dv: Array) -> Array:
    """Return the gradient of what was normalised from that of the result."""
    da: Array = dv - _mean(dv)
    da -= n.value * _mean(n.value * dv)
    da *= n.scale
    return da
