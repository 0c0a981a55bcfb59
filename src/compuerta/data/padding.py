"""Sequences of unequal lengths as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import checks
from ..errors import DTypeError, ShapeError


def pad(rows: Sequence[ArrayLike], dtype: DTypeLike | None = None) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Put rows of unequal lengths into one array, zeros after the end of each, and say how long each is.

    Args:
        rows: N arrays, all (T_i, F) with one F, or all (T_i,), which is how token ids come.
        dtype: of the result; by default one that can represent all rows.

    Returns:
        ``x``: (N, T, F), or (N, T) for rows (T_i,), with T the length of the longest row.
        ``lengths``: (N,), to be passed to a layer as ``lengths=``.

    Raises:
        ShapeError: no rows, rows of differing features, or rows of other than one or two dimensions.
        DTypeError: a row contains objects, text or complex numbers.

    >>> x, lengths = pad([[3, 1], [4, 1, 5], []])
    >>> x
    array([[3, 1, 0],
           [4, 1, 5],
           [0, 0, 0]])
    >>> lengths
    array([2, 3, 0])
    """
    arrays = [_row(row, k) for k, row in enumerate(rows)]
    if not arrays:
        raise ShapeError("error.pad.no_rows")
    # An empty list is a row of length 0 whatever the others are; it has no say in the features or the dtype.
    telling = [array for array in arrays if array.shape != (0,)] or arrays[:1]
    features = telling[0].shape[1:]
    for k, array in enumerate(arrays):
        if array.shape != (0,) and (array.ndim not in (1, 2) or array.shape[1:] != features):
            expected = "(T,)" if not features else f"(T, {features[0]})" if len(features) == 1 else "(T,) / (T, F)"
            raise ShapeError("error.pad.shape", row=k, expected=expected, got=array.shape)
    lengths = np.array([len(array) for array in arrays], dtype=np.intp)
    shape = (len(arrays), int(lengths.max()), *features)
    result = np.dtype(dtype) if dtype is not None else np.result_type(*telling)
    checks.fits("pad", shape, result.itemsize)
    x = np.zeros(shape, dtype=result)
    for row, array in zip(x, arrays, strict=True):
        row[: len(array)] = array.reshape(len(array), *features)
    return x, lengths


def _row(row: ArrayLike, k: int) -> NDArray[Any]:
    try:
        array = np.asarray(row)
    except ValueError:  # NumPy's word for lists of unequal lengths
        raise ShapeError("error.pad.ragged", row=k) from None
    if array.ndim == 0:
        raise ShapeError("error.pad.shape", row=k, expected="(T,) / (T, F)", got=array.shape)
    if array.dtype.kind not in "fiub":
        raise DTypeError("error.kind", name="pad", argument=f"rows[{k}]", got=array.dtype.name)
    return array
