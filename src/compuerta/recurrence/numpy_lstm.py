r"""The LSTM over time in NumPy: one product for a block of x, then one small step after another, nothing allocated.

.. math::  c_t = f ⊙ c_{t-1} + i ⊙ g, \qquad h_t = o ⊙ \tanh(c_t)

Inside, a gate is half a tanh: σ(z) = (1 + tanh(z/2))/2, so that one tanh serves all four blocks. The weights of i, f
and o are halved when they are packed (exact: a power of two). Against the exact σ the absolute error stays below 1 ULP
of 1, which is that of the sums it enters; it is the tiny gates whose relative accuracy suffers, and they are added to
larger things. Blocks are in the order g, f, i, o here and in the tape, each one a contiguous matrix, so that the
three gates are one slice.

Shapes: N rows, T steps, F inputs, H units, P packed rows (see :mod:`.packing`).
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

#: Blocks inside the engine, and the index of each in the public order i, f, g, o.
SLOTS = ("g", "f", "i", "o")
_FROM_PUBLIC = (2, 1, 0, 3)
#: Elements of one block of steps whose factors are prepared together in the way back: they stay in the cache.
_CACHED = 1 << 14
#: Elements of the product with x that are made at once and used up before the next: they stay in the cache too.
_CACHED_X = 1 << 17


@dataclass(frozen=True, slots=True, eq=False)
class LSTMWeights:
    """Weights as the loop wants them: one (inputs, H) matrix per block, the gates' halved; and as they came."""

    w_x: Array  # (4, F, H)
    w_h: Array  # (4, H, H)
    b: Array  # (4, 1, H)
    public_w_x: Array  # (4H, F)
    public_w_h: Array  # (4H, H)


def pack(w_x: Array, w_h: Array, b: Array) -> LSTMWeights:
    """Repack ``w_x`` (4H, F), ``w_h`` (4H, H) and ``b`` (4H,), all in the order i, f, g, o."""
    hidden = w_h.shape[1]
    scale = np.array((1.0, 0.5, 0.5, 0.5), w_h.dtype)[:, None, None]

    def blocks(w: Array) -> Array:
        out = np.empty((4, w.shape[1], hidden), w.dtype)
        np.multiply(w.reshape(4, hidden, -1).transpose(0, 2, 1)[_FROM_PUBLIC, ...], scale, out=out)
        return out

    return LSTMWeights(blocks(w_x), blocks(w_h), blocks(b[:, None]), w_x, w_h)


def forward(
    weights: LSTMWeights,
    x: Array,
    h0: Array,
    c0: Array,
    lengths: NDArray[np.intp] | None = None,
    reverse: bool = False,
    record: bool = False,
) -> tuple[Array, Array, Array, NumpyTape | None]:
    """Run over a batch; shapes and meaning as in :class:`compuerta.recurrence.Cell`."""
    packing = Packing(x.shape[0], x.shape[1], lengths, reverse)
    n, rows, hidden, dtype = packing.n, packing.rows, weights.w_h.shape[1], weights.w_h.dtype
    xs = packing.pack(x)
    per_block = max(1, _CACHED_X // max(1, 4 * n * hidden))
    tape_rows = rows if record else 0
    # One piece of memory for all: the system hands it out, and takes it back, once.
    memory = np.empty((5 * tape_rows + (n + tape_rows if record else 0) + n + rows, hidden), dtype)
    gates, tanh_c = memory[: 4 * tape_rows].reshape(4, tape_rows, hidden), memory[4 * tape_rows : 5 * tape_rows]
    c, h = memory[5 * tape_rows : -n - rows], memory[len(memory) - n - rows :]
    from_x = gates if record else np.empty((4, min(rows, per_block * n), hidden), dtype)
    step = np.empty((5, n, hidden), dtype)  # c g f i o: c beside g and f beside i, so that c ⊙ f and g ⊙ i are one call
    h[:n] = packing.sort(h0)
    step[0] = packing.sort(c0)
    if record:
        c[:n] = step[0]

    multiply, tanh, matmul, half = np.multiply, np.tanh, np.matmul, dtype.type(0.5)
    running, h_prev = -1, h[:n]
    for k in range(0, len(packing.steps), per_block):
        block = packing.steps[k : k + per_block]
        first, end = block[0][0], sum(block[-1])
        z_x = from_x[:, first:end] if record else from_x[:, : end - first]
        from_inputs(xs[first:end], weights.w_x, weights.b, z_x)
        for start, count in block:
            stop = start + count
            if count != running:  # views of the rows that still run
                running, run = count, step[:, :count]
                z, sigmoids, c_g, f_i, o = run[1:], run[2:], run[:2], run[2:4], run[4]
                cell, g = c_g
                w_h, product, shape = cut(weights.w_h, z)
                h_prev = h_prev[:count]
            matmul(h_prev.reshape(shape), w_h, out=product)
            z += z_x[:, start - first : stop - first]
            tanh(z, out=z)
            sigmoids *= half
            sigmoids += half
            if record:
                gates[:, start:stop] = z
            multiply(c_g, f_i, out=c_g)
            cell += g
            h_prev = h[n + start : n + stop]
            if record:
                c[n + start : n + stop] = cell
                multiply(tanh(cell, out=tanh_c[start:stop]), o, out=h_prev)
            else:
                tanh(cell, out=h_prev)
                h_prev *= o
    h_n = packing.unsort(packing.last(h))
    c_n = packing.unsort(step[0])
    tape = NumpyTape(packing, xs, SLOTS, gates, h, c, tanh_c) if record else None
    return packing.unpack(h[n:]), h_n, c_n, tape


def backward(
    weights: LSTMWeights,
    tape: NumpyTape,
    dy: Array,
    dh_n: Array,
    dc_n: Array,
    dw_x: Array,
    dw_h: Array,
    db: Array,
) -> tuple[Array | None, Array, Array]:
    r"""Backpropagation through time; shapes and meaning as in :class:`compuerta.recurrence.Cell`.

    With dh_t and dc_t the gradients that arrive at a step (from the output and from the step after it),

    .. math::

        dc_t &\mathrel{+}= dh_t ⊙ o ⊙ (1 - \tanh^2 c_t)

        dz_i &= dc_t ⊙ g ⊙ i(1-i), \quad dz_f = dc_t ⊙ c_{t-1} ⊙ f(1-f), \quad dz_g = dc_t ⊙ i ⊙ (1-g^2),
              \quad dz_o = dh_t ⊙ \tanh(c_t) ⊙ o(1-o)

        dh_{t-1} &= dz\,W_h, \quad dc_{t-1} = dc_t ⊙ f

    All but dc_t and dh_t is known beforehand, so a block of steps prepares its factors at once, in the cache.
    """
    packing, hidden = tape.packing, weights.public_w_h.shape[1]
    g, f, i, o = tape.gates
    tanh_c = tape.extra
    assert tape.c is not None
    c_before = packing.before(tape.c)
    dys = packing.pack(dy)
    dz = np.empty((packing.rows, 4 * hidden), tape.gates.dtype)  # blocks i, f, g, o
    dz_blocks = dz.reshape(packing.rows, 4, hidden)
    dh, dc = packing.sort(dh_n).copy(), packing.sort(dc_n).copy()
    scratch = np.empty((packing.n, hidden), dz.dtype)

    running = -1
    per_block = max(1, _CACHED // max(1, packing.n * hidden))
    for last in range(len(packing.steps), 0, -per_block):
        block = packing.steps[max(0, last - per_block) : last]
        first, end = block[0][0], sum(block[-1])
        rows = slice(first, end)
        i_, f_, o_, g_, tanh_ = i[rows], f[rows], o[rows], g[rows], tanh_c[rows]
        one_minus = 1 - i_
        one_minus *= i_
        np.multiply(one_minus, g_, out=dz_blocks[rows, 0])
        np.subtract(1, f_, out=one_minus)
        one_minus *= f_
        np.multiply(one_minus, c_before[rows], out=dz_blocks[rows, 1])
        np.multiply(g_, g_, out=one_minus)
        np.subtract(1, one_minus, out=one_minus)
        np.multiply(one_minus, i_, out=dz_blocks[rows, 2])
        np.subtract(1, o_, out=one_minus)
        one_minus *= o_
        np.multiply(one_minus, tanh_, out=dz_blocks[rows, 3])
        np.multiply(tanh_, tanh_, out=one_minus)
        np.subtract(1, one_minus, out=one_minus)
        dc_dh = one_minus
        dc_dh *= o_
        for start, count in reversed(block):
            stop = start + count
            dh_t, dc_t, tmp = dh[:count], dc[:count], scratch[:count]
            dh_t += dys[start:stop]
            np.multiply(dh_t, dc_dh[start - first : stop - first], out=tmp)
            dc_t += tmp
            dz_blocks[start:stop, :3] *= dc_t[:, None]
            dz_blocks[start:stop, 3] *= dh_t
            dc_t *= f[start:stop]
            if count != running:
                running, (w_h, product, shape) = count, cut(weights.public_w_h, dh_t)
            np.matmul(dz[start:stop].reshape(shape), w_h, out=product)

    np.matmul(dz.T, packing.before(tape.h), out=dw_h)
    np.sum(dz, axis=0, out=db)
    dx: Array | None = None
    if tape.x.ndim == 1:
        dw_x[...] = sum_by_token(dz, tape.x, dw_x.shape[1]).T
    else:
        np.matmul(dz.T, tape.x, out=dw_x)
        dx = packing.unpack(dz @ weights.public_w_x)
    return dx, packing.unsort(dh), packing.unsort(dc)


class Stepper:
    """One step after another with every buffer made beforehand; the state is in ``h`` and ``c`` (N, H)."""

    def __init__(self, weights: LSTMWeights, h: Array, c: Array) -> None:
        self.h, self.c = h, c
        self._weights = weights
        self._z = np.empty((4, *h.shape), h.dtype)
        self._recurrent = np.empty_like(self._z)
        self._half = h.dtype.type(0.5)
        self._g, self._f, self._i, self._o = self._z

    def __call__(self, x: Array) -> Array:
        """Take ``x`` (N, F), or (N,) token ids, one step on; return ``h`` (N, H), overwritten by the next step."""
        z, w, half = self._z, self._weights, self._half
        if x.ndim == 1:
            np.take(w.w_x, x, axis=1, out=z, mode="clip")
        else:
            np.matmul(x, w.w_x, out=z)
        z += w.b
        np.matmul(self.h, w.w_h, out=self._recurrent)
        z += self._recurrent
        np.tanh(z, out=z)
        gates = z[1:]
        gates *= half
        gates += half
        self.c *= self._f
        self._g *= self._i
        self.c += self._g
        np.tanh(self.c, out=self.h)
        self.h *= self._o
        return self.h
