r"""GRU and simple recurrence with any activation and a clip, forward only, as ONNX's operators have them.

.. math::

    r = f(a_r), \qquad z = f(a_z), \qquad h = (1 − z) ⊙ g(a_n) + z ⊙ h', \qquad a = W x + U h' + b

with the reset gate in :math:`a_n` as in :mod:`.numpy_gru`, and in the simple recurrence :math:`h = f(W x + U h' + b)`.
Every a is clipped to [−clip, clip] before its activation. The standard cells have faster ways; no layer trains these,
so there is no way back. Shapes as in :class:`compuerta.recurrence.Cell`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .packing import Packing
from .saturation import bounded

Array = NDArray[Any]
Activation = Callable[[Array], Array]


def gru(
    weights: tuple[Array, Array, Array],
    b_hn: Array | None,
    x: Array,
    h0: Array,
    lengths: NDArray[np.intp] | None,
    reverse: bool,
    activations: tuple[Activation, Activation],
    clip: float | None = None,
) -> tuple[Array, Array]:
    """Return ``(y, h)`` of a GRU; blocks r, z, n, and ``b_hn`` (H,) where the reset gate acts after the product."""
    w_x, w_h, b = weights
    f, g = (_clipped(activation, clip) for activation in activations)
    hidden = w_h.shape[1]
    u_rz, u_n = w_h[: 2 * hidden].T, w_h[2 * hidden :].T

    def step(a: Array, h: Array) -> Array:
        gates = f(a[:, : 2 * hidden] + h @ u_rz)
        r, z = gates[:, :hidden], gates[:, hidden:]
        n = g(a[:, 2 * hidden :] + ((r * h) @ u_n if b_hn is None else r * (h @ u_n + b_hn)))
        new: Array = (1 - z) * n + z * h
        return new

    return _over_time(step, w_x, b, x, h0, lengths, reverse)


def simple(
    weights: tuple[Array, Array, Array],
    x: Array,
    h0: Array,
    lengths: NDArray[np.intp] | None,
    reverse: bool,
    activation: Activation,
    clip: float | None = None,
) -> tuple[Array, Array]:
    """Return ``(y, h)`` of the simple recurrence (Elman 1990)."""
    w_x, w_h, b = weights
    f = _clipped(activation, clip)
    return _over_time(lambda a, h: f(a + h @ w_h.T), w_x, b, x, h0, lengths, reverse)


def _clipped(activation: Activation, clip: float | None) -> Activation:
    return activation if clip is None else lambda a: activation(np.clip(a, -clip, clip))


def _over_time(
    step: Callable[[Array, Array], Array],
    w_x: Array,
    b: Array,
    x: Array,
    h0: Array,
    lengths: NDArray[np.intp] | None,
    reverse: bool,
) -> tuple[Array, Array]:
    """Run ``step(the inputs' part of a, h')`` over the packed rows of a batch."""
    packing = Packing(x.shape[0], x.shape[1], lengths, reverse)
    n, history = packing.n, np.empty((packing.n + packing.rows, h0.shape[1]), h0.dtype)
    with np.errstate(all="ignore"):
        a = bounded(packing.pack(x)) @ w_x.T + b
        history[:n] = packing.sort(h0)
        h = history[:n]
        for start, count in packing.steps:
            new = history[n + start : n + start + count]
            new[...] = step(a[start : start + count], h[:count])
            h = new
    return packing.unpack(history[n:]), packing.unsort(packing.last(history))
