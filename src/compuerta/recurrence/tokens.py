"""Token ids as inputs: rows of a table are gathered, and gradients summed by id; nothing is multiplied by one-hots."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def sum_by_token(rows: Array, ids: NDArray[np.intp], vocabulary: int) -> Array:
    """Return (V, K): for each token the sum of the rows (P, K) that carry its id, always added in the same order.

    >>> sum_by_token(np.array([[1.0], [2.0], [4.0]]), np.array([2, 0, 2]), 3)[:, 0]
    array([2., 0., 5.])
    """
    out = np.zeros((vocabulary, rows.shape[1]), rows.dtype)
    if len(ids):
        order = np.argsort(ids, kind="stable")
        ordered = ids[order]
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        out[ordered[starts]] = np.add.reduceat(rows[order], starts, axis=0)
    return out
