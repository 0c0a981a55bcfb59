r"""The GRU over time in NumPy, in both reset conventions.

.. math::

    r = σ(W_r x + U_r h' + b_r), \qquad z = σ(W_z x + U_z h' + b_z), \qquad h = (1 − z) ⊙ n + z ⊙ h'

    n = \tanh(W_n x + b_n + r ⊙ q), \quad q = U_n h' + b_{hn} \qquad \text{reset after the product (cuDNN, PyTorch)}

    n = \tanh(W_n x + b_n + U_n q), \quad q = r ⊙ h' \qquad \text{reset before it (Cho et al. 2014)}

As in :mod:`.numpy_lstm` a gate is half a tanh and its weights are halved when packed; blocks are contiguous matrices,
here in the public order r, z, n. Shapes: N rows, T steps, F inputs, H units, P packed rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .packing import Packing
from .tape import Tape
from .tokens import sum_by_token

Array = NDArray[Any]

SLOTS = ("r", "z", "n")


@dataclass(frozen=True, slots=True, eq=False)
class GRUWeights:
    """Weights as the loop wants them, and as they came. ``b_hn`` is None where the reset gate acts first."""

    w_x: Array  # (3, F, H)
    w_h: Array  # (3, H, H)
    b: Array  # (3, 1, H)
    b_hn: Array | None  # (H,)
    public_w_x: Array  # (3H, F)
    public_w_h: Array  # (3H, H)


def pack(w_x: Array, w_h: Array, b: Array, b_hn: Array | None = None) -> GRUWeights:
    """Repack ``w_x`` (3H, F), ``w_h`` (3H, H), ``b`` (3H,) and ``b_hn`` (H,), in the order r, z, n."""
    hidden = w_h.shape[1]
    scale = np.array((0.5, 0.5, 1.0), w_h.dtype)[:, None, None]

    def blocks(w: Array) -> Array:
        out = np.empty((3, w.shape[1], hidden), w.dtype)
        np.multiply(w.reshape(3, hidden, -1).transpose(0, 2, 1), scale, out=out)
        return out

    return GRUWeights(blocks(w_x), blocks(w_h), blocks(b[:, None]), b_hn, w_x, w_h)


def _step(weights: GRUWeights, z: Array, h_prev: Array, recurrent: Array, q: Array, h: Array) -> None:
    """One step: ``z`` (3, N, H) holds the part of x and becomes r, z, n; ``q`` and ``h`` (N, H) are written."""
    half = z.dtype.type(0.5)
    gates, r, update, n = z[:2], z[0], z[1], z[2]
    if weights.b_hn is not None:
        np.matmul(h_prev, weights.w_h, out=recurrent)
        gates += recurrent[:2]
        np.tanh(gates, out=gates)
        gates *= half
        gates += half
        np.add(recurrent[2], weights.b_hn, out=q)
        np.multiply(r, q, out=recurrent[2])
    else:
        np.matmul(h_prev, weights.w_h[:2], out=recurrent[:2])
        gates += recurrent[:2]
        np.tanh(gates, out=gates)
        gates *= half
        gates += half
        np.multiply(r, h_prev, out=q)
        np.matmul(q, weights.w_h[2], out=recurrent[2])
    n += recurrent[2]
    np.tanh(n, out=n)
    kept = recurrent[0]  # h = n + z ⊙ (h' − n)
    np.subtract(h_prev, n, out=kept)
    kept *= update
    np.add(n, kept, out=h)


def forward(
    weights: GRUWeights,
    x: Array,
    h0: Array,
    lengths: NDArray[np.intp] | None = None,
    reverse: bool = False,
    record: bool = False,
) -> tuple[Array, Array, Tape | None]:
    """Run over a batch; shapes and meaning as in :class:`compuerta.recurrence.Engine`."""
    packing = Packing(x.shape[0], x.shape[1], lengths, reverse)
    n, hidden = packing.n, weights.w_h.shape[1]
    xs = packing.pack(x)
    gates = np.take(weights.w_x, xs, axis=1) if xs.ndim == 1 else np.matmul(xs, weights.w_x)
    gates += weights.b

    h = np.empty((n + packing.rows, hidden), gates.dtype)
    h[:n] = packing.sort(h0)
    q = np.empty((packing.rows if record else n, hidden), gates.dtype)
    scratch = np.empty((3, n, hidden), gates.dtype)
    h_prev = h[:n]
    for start, count in packing.steps:
        stop = start + count
        h_next = h[n + start : n + stop]
        q_t = q[start:stop] if record else q[:count]
        _step(weights, gates[:, start:stop], h_prev[:count], scratch[:, :count], q_t, h_next)
        h_prev = h_next
    tape = Tape(packing, xs, SLOTS, gates, h, None, q) if record else None
    return packing.unpack(h[n:]), packing.unsort(packing.last(h)), tape


def backward(
    weights: GRUWeights,
    tape: Tape,
    dy: Array,
    dh_n: Array,
    dw_x: Array,
    dw_h: Array,
    db: Array,
    db_hn: Array | None = None,
) -> tuple[Array | None, Array]:
    r"""Backpropagation through time; shapes and meaning as in :class:`compuerta.recurrence.Engine`.

    .. math::

        da_n = dh ⊙ (1 − z) ⊙ (1 − n^2), \qquad da_z = dh ⊙ (h' − n) ⊙ z(1 − z)

    and, with the reset gate after the product, :math:`dq = da_n ⊙ r`, :math:`da_r = da_n ⊙ q ⊙ r(1 − r)`; before it,
    :math:`dq = U_n^T da_n`, :math:`da_r = dq ⊙ h' ⊙ r(1 − r)` and :math:`dh' \mathrel{+}= dq ⊙ r`.
    """
    packing, hidden = tape.packing, weights.public_w_h.shape[1]
    r, z, n = tape.gates
    q, before = tape.extra, packing.before(tape.h)
    w_rz, w_n = weights.public_w_h[: 2 * hidden], weights.public_w_h[2 * hidden :]
    after = weights.b_hn is not None
    dys = packing.pack(dy)
    da = np.empty((packing.rows, 3, hidden), tape.gates.dtype)  # gradients of the pre-activations, blocks r, z, n
    da_h = np.empty((packing.rows, 3, hidden), da.dtype) if after else da  # those that reach U; n's is dq
    dh = packing.sort(dh_n).copy()

    for start, count in reversed(packing.steps):
        rows = slice(start, start + count)
        dh_t = dh[:count]
        dh_t += dys[rows]
        r_t, z_t, n_t, q_t, h_t = r[rows], z[rows], n[rows], q[rows], before[rows]
        da_n = dh_t * (1 - z_t) * (1 - n_t * n_t)
        da[rows, 2] = da_n
        da[rows, 1] = dh_t * (h_t - n_t) * (z_t * (1 - z_t))
        dh_t *= z_t
        if after:
            da[rows, 0] = da_n * q_t * (r_t * (1 - r_t))
            da_h[rows, :2] = da[rows, :2]
            np.multiply(da_n, r_t, out=da_h[rows, 2])
            dh_t += da_h[rows].reshape(count, 3 * hidden) @ weights.public_w_h
        else:
            dq = da_n @ w_n
            da[rows, 0] = dq * h_t * (r_t * (1 - r_t))
            dh_t += dq * r_t
            dh_t += da[rows, :2].reshape(count, 2 * hidden) @ w_rz

    flat, flat_h = da.reshape(packing.rows, 3 * hidden), da_h.reshape(packing.rows, 3 * hidden)
    if after:
        np.matmul(flat_h.T, before, out=dw_h)
        assert db_hn is not None
        np.sum(da_h[:, 2], axis=0, out=db_hn)
    else:
        np.matmul(flat[:, : 2 * hidden].T, before, out=dw_h[: 2 * hidden])
        np.matmul(flat[:, 2 * hidden :].T, q, out=dw_h[2 * hidden :])
    np.sum(flat, axis=0, out=db)
    dx: Array | None = None
    if tape.x.ndim == 1:
        dw_x[...] = sum_by_token(flat, tape.x, dw_x.shape[1]).T
    else:
        np.matmul(flat.T, tape.x, out=dw_x)
        dx = packing.unpack(flat @ weights.public_w_x)
    return dx, packing.unsort(dh)


class Stepper:
    """One step after another with every buffer made beforehand; the state is in ``h`` (N, H)."""

    def __init__(self, weights: GRUWeights, h: Array) -> None:
        self.h = h
        self._weights = weights
        self._z = np.empty((3, *h.shape), h.dtype)
        self._recurrent = np.empty_like(self._z)
        self._q, self._next = np.empty_like(h), np.empty_like(h)

    def __call__(self, x: Array) -> Array:
        """Take ``x`` (N, F), or (N,) token ids, one step on; return ``h`` (N, H), overwritten by the next step."""
        z, w = self._z, self._weights
        if x.ndim == 1:
            np.take(w.w_x, x, axis=1, out=z, mode="clip")
        else:
            np.matmul(x, w.w_x, out=z)
        z += w.b
        _step(w, z, self.h, self._recurrent, self._q, self._next)
        self.h[...] = self._next
        return self.h
