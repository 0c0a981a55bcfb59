"""Initial weights. Each takes a Generator, a shape and a dtype, and returns an array; matrices are (outputs, inputs).

>>> import numpy as np
>>> q = orthogonal(np.random.default_rng(0), (3, 3))
>>> bool(np.allclose(q @ q.T, np.eye(3)))
True
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

__all__ = ["chrono", "glorot_uniform", "normal", "orthogonal", "uniform"]


def __dir__() -> list[str]:
    return sorted(__all__)


Array = NDArray[Any]


def glorot_uniform(rng: np.random.Generator, shape: tuple[int, int], dtype: DTypeLike = np.float64) -> Array:
    """Draw from U(−a, a) with a = √(6/(inputs + outputs)): the variance of signal and gradient both near 1.

    Source: Glorot and Bengio 2010, equation 16.
    """
    bound = math.sqrt(6.0 / (shape[0] + shape[1]))
    return rng.uniform(-bound, bound, shape).astype(dtype)


def uniform(rng: np.random.Generator, shape: tuple[int, ...], bound: float, dtype: DTypeLike = np.float64) -> Array:
    """Draw from U(−bound, bound). With bound = 1/√H it is PyTorch's own initialisation of an LSTM."""
    return rng.uniform(-bound, bound, shape).astype(dtype)


def normal(
    rng: np.random.Generator, shape: tuple[int, ...], scale: float = 1.0, dtype: DTypeLike = np.float64
) -> Array:
    """Draw from N(0, scale²); with scale 1 it is the plain ``randn`` of many tutorials, too large beyond a toy."""
    return (scale * rng.standard_normal(shape)).astype(dtype)


def orthogonal(rng: np.random.Generator, shape: tuple[int, int], dtype: DTypeLike = np.float64) -> Array:
    """Draw a matrix with orthonormal rows (or columns, if it is tall), uniform over all such matrices.

    A recurrent product with it keeps the norm of the state. The signs of R's diagonal make the draw uniform (Haar).

    Source: Saxe, McClelland and Ganguli 2014; Mezzadri 2007 for the signs.
    """
    rows, columns = shape
    q, r = np.linalg.qr(rng.standard_normal((max(shape), min(shape))))
    q = q * np.sign(np.diagonal(r))
    return np.ascontiguousarray(q if rows >= columns else q.T).astype(dtype)


def chrono(
    rng: np.random.Generator, hidden_size: int, longest: int, dtype: DTypeLike = np.float64
) -> tuple[Array, Array]:
    """Return forget and input biases ``(b_f, b_i)`` for memories up to ``longest`` steps.

    ``b_f = log U(1, longest − 1)`` and ``b_i = −b_f``: a forget gate at σ(b_f) has a half-life of that many steps.

    Source: Tallec and Ollivier 2018, equation 16.
    """
    b_f = np.log(rng.uniform(1.0, max(longest - 1.0, 1.0), hidden_size)).astype(dtype)
    return b_f, -b_f
