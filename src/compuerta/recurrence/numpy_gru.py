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
from .tape import NumpyTape
from .tiles import cut, from_inputs
from .tokens import sum_by_token

Array = NDArray[Any]

SLOTS = ("r", "z", "n")
#: Elements that are prepared together, for the steps that use them next: of the product with x, and of the way back.
_CACHED_X = 1 << 17
_CACHED = 1 << 14


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


def _step(weights: GRUWeights, z_x: Array, step: Array, h_prev: Array, q: Array, h: Array, cuts: Any) -> None:
    """One step: from ``z_x`` (3, N, H), the part of x, ``step`` (3, N, H) becomes r, z, n, and ``q`` and ``h`` too."""
    half = step.dtype.type(0.5)
    gates, r, update, n = step[:2], step[0], step[1], step[2]
    w_h, product, shape = cuts[0]
    np.matmul(h_prev.reshape(shape), w_h, out=product)
    if weights.b_hn is not None:
        np.add(n, weights.b_hn, out=q)
    gates += z_x[:2]
    np.tanh(gates, out=gates)
    gates *= half
    gates += half
    if weights.b_hn is not None:
        np.multiply(r, q, out=n)
    else:
        np.multiply(r, h_prev, out=q)
        w_n, product, shape = cuts[1]
        np.matmul(q.reshape(shape), w_n, out=product)
    n += z_x[2]
    np.tanh(n, out=n)
    np.subtract(h_prev, n, out=h)  # h = n + z ⊙ (h' − n)
    h *= update
    h += n


def _cuts(weights: GRUWeights, step: Array) -> Any:
    """Return the products of a step as :func:`.products.cut` cuts them."""
    if weights.b_hn is not None:
        return (cut(weights.w_h, step),)
    return cut(weights.w_h[:2], step[:2]), cut(weights.w_h[2], step[2])


def forward(
    weights: GRUWeights,
    x: Array,
    h0: Array,
    lengths: NDArray[np.intp] | None = None,
    reverse: bool = False,
    record: bool = False,
) -> tuple[Array, Array, NumpyTape | None]:
    """Run over a batch; shapes and meaning as in :class:`compuerta.recurrence.Cell`."""
    packing = Packing(x.shape[0], x.shape[1], lengths, reverse)
    n, rows, hidden, dtype = packing.n, packing.rows, weights.w_h.shape[1], weights.w_h.dtype
    xs = packing.pack(x)
    per_block = max(1, _CACHED_X // max(1, 3 * n * hidden))
    tape_rows = rows if record else 0
    # One piece of memory for all: the system hands it out, and takes it back, once.
    memory = np.empty((4 * tape_rows + n + rows, hidden), dtype)
    gates, h = memory[: 3 * tape_rows].reshape(3, tape_rows, hidden), memory[4 * tape_rows :]
    q = memory[3 * tape_rows : 4 * tape_rows] if record else np.empty((n, hidden), dtype)
    from_x = gates if record else np.empty((3, min(rows, per_block * n), hidden), dtype)
    buffer = np.empty((3, n, hidden), dtype)
    h[:n] = packing.sort(h0)
    running, h_prev = -1, h[:n]
    for k in range(0, len(packing.steps), per_block):
        block = packing.steps[k : k + per_block]
        first, end = block[0][0], sum(block[-1])
        z_x = from_x[:, first:end] if record else from_x[:, : end - first]
        from_inputs(xs[first:end], weights.w_x, weights.b, z_x)
        for start, count in block:
            stop = start + count
            if count != running:
                running, step = count, buffer[:, :count]
                cuts = _cuts(weights, step)
            h_next = h[n + start : n + stop]
            q_t = q[start:stop] if record else q[:count]
            _step(weights, z_x[:, start - first : stop - first], step, h_prev[:count], q_t, h_next, cuts)
            if record:
                gates[:, start:stop] = step
            h_prev = h_next
    tape = NumpyTape(packing, xs, SLOTS, gates, h, None, q) if record else None
    return packing.unpack(h[n:]), packing.unsort(packing.last(h)), tape


def backward(
    weights: GRUWeights,
    tape: NumpyTape,
    dy: Array,
    dh_n: Array,
    dw_x: Array,
    dw_h: Array,
    db: Array,
    db_hn: Array | None = None,
) -> tuple[Array | None, Array]:
    r"""Backpropagation through time; shapes and meaning as in :class:`compuerta.recurrence.Cell`.

    .. math::

        da_n = dh ⊙ (1 − z) ⊙ (1 − n^2), \qquad da_z = dh ⊙ (h' − n) ⊙ z(1 − z)

    and, with the reset gate after the product, :math:`dq = da_n ⊙ r`, :math:`da_r = da_n ⊙ q ⊙ r(1 − r)`; before it,
    :math:`dq = U_n^T da_n`, :math:`da_r = dq ⊙ h' ⊙ r(1 − r)` and :math:`dh' \mathrel{+}= dq ⊙ r`.
    """
    packing, hidden = tape.packing, weights.public_w_h.shape[1]
    r, z, n = tape.gates
    q, before = tape.extra, packing.before(tape.h)
    after = weights.b_hn is not None
    dys = packing.pack(dy)
    # Gradients of the pre-activations, blocks n, r, z, and after them that of q where the reset gate acts last: then
    # r, z, q are one matrix, that which meets U. All are dh (r's may be dq) times what is known beforehand.
    da = np.empty((packing.rows, 4 if after else 3, hidden), tape.gates.dtype)
    flat = da.reshape(packing.rows, da.shape[1] * hidden)
    w_rz, w_n = weights.public_w_h[: 2 * hidden], weights.public_w_h[2 * hidden :]
    dh = packing.sort(dh_n).copy()
    scratch = np.empty((2, packing.n, hidden), da.dtype)
    running = -1

    per_block = max(1, _CACHED // max(1, packing.n * hidden))
    for last in range(len(packing.steps), 0, -per_block):
        block = packing.steps[max(0, last - per_block) : last]
        rows = slice(block[0][0], sum(block[-1]))
        r_, z_, n_, q_, h_ = r[rows], z[rows], n[rows], q[rows], before[rows]
        rest = 1 - z_
        factor = n_ * n_
        np.subtract(1, factor, out=factor)
        factor *= rest
        da[rows, 0] = factor  # n: (1 − z)(1 − n²)
        rest *= z_
        np.multiply(np.subtract(h_, n_, out=da[rows, 2]), rest, out=da[rows, 2])  # z: (h' − n) z (1 − z)
        np.subtract(1, r_, out=rest)
        rest *= r_
        rest *= q_ if after else h_
        if after:
            np.multiply(factor, rest, out=da[rows, 1])  # r: that of n, times q r (1 − r)
            np.multiply(factor, r_, out=da[rows, 3])  # q: that of n, times r
        else:
            da[rows, 1] = rest  # r: of dq, h' r (1 − r)
        for start, count in reversed(block):
            stop = start + count
            if count != running:
                running, dh_t, (dq, reached) = count, dh[:count], scratch[:, :count]
                w_h, product, shape = cut(weights.public_w_h if after else w_rz, reached)
                w_q, product_q, shape_q = cut(w_n, dq)
            dh_t += dys[start:stop]
            da_t = da[start:stop]
            direct = da_t if after else da_t[:, ::2]
            direct *= dh_t[:, None]
            dh_t *= z[start:stop]
            if not after:
                np.matmul(da_t[:, 0].reshape(shape_q), w_q, out=product_q)
                da_t[:, 1] *= dq
                dq *= r[start:stop]
                dh_t += dq
            np.matmul(flat[start:stop, hidden:].reshape(shape), w_h, out=product)
            dh_t += reached

    if after:
        np.matmul(flat[:, hidden:].T, before, out=dw_h)
        assert db_hn is not None
        np.sum(da[:, 3], axis=0, out=db_hn)
    else:
        np.matmul(flat[:, hidden:].T, before, out=dw_h[: 2 * hidden])
        np.matmul(flat[:, :hidden].T, q, out=dw_h[2 * hidden :])
    from_n = flat[:, : 3 * hidden]  # n, r, z; public are r, z, n
    db[...] = np.roll(np.sum(from_n, axis=0), -hidden)
    dx: Array | None = None
    if tape.x.ndim == 1:
        dw_x[...] = np.roll(sum_by_token(from_n, tape.x, dw_x.shape[1]).T, -hidden, axis=0)
    else:
        np.matmul(flat[:, hidden : 3 * hidden].T, tape.x, out=dw_x[: 2 * hidden])
        np.matmul(flat[:, :hidden].T, tape.x, out=dw_x[2 * hidden :])
        dx = packing.unpack(from_n @ np.roll(weights.public_w_x, hidden, axis=0))
    return dx, packing.unsort(dh)


class Stepper:
    """One step after another with every buffer made beforehand; the state is in ``h`` (N, H)."""

    def __init__(self, weights: GRUWeights, h: Array) -> None:
        self.h = h
        self._weights = weights
        self._z = np.empty((3, *h.shape), h.dtype)
        self._step = np.empty_like(self._z)
        self._cuts = _cuts(weights, self._step)
        self._q, self._next = np.empty_like(h), np.empty_like(h)

    def __call__(self, x: Array) -> Array:
        """Take ``x`` (N, F), or (N,) token ids, one step on; return ``h`` (N, H), overwritten by the next step."""
        z, w = self._z, self._weights
        if x.ndim == 1:
            np.take(w.w_x, x, axis=1, out=z, mode="clip")
        else:
            np.matmul(x, w.w_x, out=z)
        z += w.b
        _step(w, z, self._step, self.h, self._q, self._next, self._cuts)
        self.h[...] = self._next
        return self.h
