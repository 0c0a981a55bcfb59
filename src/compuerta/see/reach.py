"""From which step's loss to which step's memory a gradient reaches, one number for each pair of steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def reach(values: Mapping[str, Array], w_h: Array, dh: Array) -> Array:
    r"""Return ‖dL_s/dc_k‖ for every pair of steps of a plain LSTM layer, (T, T), zero where k > s.

    L_s is what step s alone adds to the loss, so that row s is one walk back; all are walked side by side:

    .. math::  dc_k += dh_k ⊙ o ⊙ (1 − \tanh^2 c), \quad dh_{k-1} = dz W_h, \quad dc_{k-1} = dc_k ⊙ f

    Args:
        values: f, i, g, o, c of the layer, each (T, H).
        w_h: (4H, H), blocks i, f, g, o.
        dh: dL_s/dh_s, (T, H).

    >>> one = {q: np.full((3, 1), 0.5) for q in "figoc"}
    >>> reach(one, np.zeros((4, 1)), np.ones((3, 1))).round(3)
    array([[0.393, 0.   , 0.   ],
           [0.197, 0.393, 0.   ],
           [0.098, 0.197, 0.393]])
    """
    steps, hidden = dh.shape
    v = {q: values[q] for q in "figoc"}
    before = np.concatenate([np.zeros((1, hidden), dh.dtype), v["c"][:-1]])
    size = np.zeros((steps, steps), dh.dtype)
    d_h, d_c = np.zeros((2, steps, hidden), dh.dtype)
    with np.errstate(all="ignore"):
        for k in reversed(range(steps)):
            f, i, g, o, tanh_c = v["f"][k], v["i"][k], v["g"][k], v["o"][k], np.tanh(v["c"][k])
            d_h[k] = dh[k]
            h, c = d_h[k:], d_c[k:]
            c += h * (o * (1 - tanh_c**2))
            size[k:, k] = np.sqrt((c * c).sum(axis=1))
            dz = (
                c * (g * i * (1 - i)),
                c * (before[k] * f * (1 - f)),
                c * (i * (1 - g**2)),
                h * (tanh_c * o * (1 - o)),
            )
            h[...] = np.concatenate(dz, axis=1) @ w_h
            c *= f
    return size
